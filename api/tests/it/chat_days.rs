//! The days of chat: made while somebody reads or writes, and a start that waits only for today's.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Executor as _;

use crate::chat::{say, soon};
use crate::database::TestDatabase;
use crate::running::Running;

const DROP_ALL: &str = "do $$ declare day text; begin
    for day in select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
               where i.inhparent = 'chat_messages'::regclass
    loop execute 'drop table ' || day; end loop;
end $$";

const DROP_LAST: &str = "do $$ begin
    execute (select 'drop table ' || max(c.relname) from pg_inherits i join pg_class c on c.oid = i.inhrelid
             where i.inhparent = 'chat_messages'::regclass);
end $$";

const ALL_ARE_THERE: &str =
    "select count(*) = 16 from pg_inherits where inhparent = 'chat_messages'::regclass";

async fn ends(api: Running) {
    let Running { shutdown, task, .. } = api;
    shutdown.cancel();
    soon(task).await.unwrap().unwrap();
}

/// A database that an api has set up and left.
async fn set_up() -> Arc<TestDatabase> {
    let database = Arc::new(TestDatabase::create().await);
    ends(Running::replica(Arc::clone(&database), |_| ()).await).await;
    database.says(ALL_ARE_THERE).await;
    database
}

#[tokio::test]
async fn a_backup_keeps_no_day_from_being_made_and_nobody_from_talking() {
    let database = set_up().await;
    database.execute(DROP_ALL).await;
    // What pg_dump holds for as long as it runs.
    let mut backup = database.pool.begin().await.unwrap();
    backup.execute("lock table chat_messages, streams, users in access share mode").await.unwrap();
    let api = soon(Running::replica(Arc::clone(&database), |_| ())).await;
    database.says(ALL_ARE_THERE).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    soon(say(&ana, stream, "hola")).await;
    database.says("select count(*) = 1 from chat_messages").await;
    backup.rollback().await.unwrap();
}

#[tokio::test]
async fn a_start_waits_for_the_day_of_today_and_not_for_later_ones() {
    let database = set_up().await;
    database.execute(DROP_LAST).await;
    let hold = async || {
        let mut writer = database.pool.begin().await.unwrap();
        writer.execute("lock table streams in row exclusive mode").await.unwrap();
        writer
    };
    let writer = hold().await;
    let api = soon(Running::replica(Arc::clone(&database), |_| ())).await;
    assert_eq!(api.get("/api/streams").await.status, 200);
    ends(api).await;
    writer.rollback().await.unwrap();

    database.execute(DROP_ALL).await;
    let writer = hold().await;
    let there = Arc::clone(&database);
    let start = tokio::spawn(async move {
        Running::replica(there, |config| config.deadlines.database_start = Duration::from_secs(1)).await;
    });
    let words = *soon(start).await.unwrap_err().into_panic().downcast::<String>().unwrap();
    assert!(words.contains("lock timeout"), "{words}");
    writer.rollback().await.unwrap();
    // Somebody who is done in time keeps nobody out.
    drop(soon(Running::replica(Arc::clone(&database), |_| ())).await);
    database.says(ALL_ARE_THERE).await;
}
