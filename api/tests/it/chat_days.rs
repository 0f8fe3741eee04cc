//! The days of chat: made while somebody reads or writes, and a start that waits only for today's.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::json;
use sqlx::Executor as _;
use uuid::Uuid;

use crate::chat::{on, say, soon};
use crate::database::TestDatabase;
use crate::redis_server::RedisServer;
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

/// PostgreSQL's clock, as queries read it, is forty days behind everybody else's; and there are two days that are old by the others'
/// clock, of which one is old by PostgreSQL's.
const OTHERS_ARE_AHEAD: &str = "create schema fake;
create function fake.now() returns timestamptz language sql stable as
    $$ select pg_catalog.now() - interval '40 days' $$;
do $$ declare ago int; day date; begin
    execute format('alter database %I set search_path = public, fake, pg_catalog', current_database());
    foreach ago in array array[35, 75] loop
        day := (pg_catalog.now() at time zone 'utc')::date - ago;
        execute format('create table chat_messages_%s partition of chat_messages for values from (%L) to (%L)',
                       to_char(day, 'YYYYMMDD'), day || ' 00:00:00+00', (day + 1) || ' 00:00:00+00');
    end loop;
end $$";

const OLD_BY_ITS_CLOCK_IS_GONE: &str = "select to_regclass('chat_messages_' || to_char((pg_catalog.now() at time zone 'utc')::date - 75, 'YYYYMMDD')) is null";

/// Those that its clock asks for, among which the other old one is, and those from before.
const OTHERS_ARE_THERE: &str = "select bool_and(to_regclass('chat_messages_' || to_char(day, 'YYYYMMDD')) is not null)
    from (select (pg_catalog.now() at time zone 'utc')::date + n as day from generate_series(-41, -26) n
          union all select (pg_catalog.now() at time zone 'utc')::date + n from generate_series(-1, 14) n) days";

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

#[tokio::test]
async fn what_day_it_is_postgresql_says_and_a_clock_that_is_ahead_drops_nothing() {
    let database = set_up().await;
    database.execute(OTHERS_ARE_AHEAD).await;
    let api = soon(Running::replica(Arc::clone(&database), |_| ())).await;
    database.says(OLD_BY_ITS_CLOCK_IS_GONE).await;
    let there: bool = sqlx::query_scalar(OTHERS_ARE_THERE).fetch_one(&database.pool).await.unwrap();
    assert!(there);
    ends(api).await;
}

#[tokio::test]
async fn a_message_of_a_day_that_is_not_made_yet_waits_and_holds_up_no_other() {
    let redis = RedisServer::start();
    let database = Arc::new(TestDatabase::create().await);
    let api = on(&redis, &database).await;
    let ana = api.register("ana").await;
    let stream = ana.goes_live().await;
    let in_forty_days =
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap() + Duration::from_secs(40 * 86_400);
    let at = uuid::Timestamp::from_unix(uuid::NoContext, in_forty_days.as_secs(), 0);
    let row = json!({ "id": Uuid::new_v7(at), "stream": stream, "user": ana.id, "message": "early", "reply_to": null });
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut add = redis::cmd("XADD");
    add.arg("chat:persist").arg("*").arg("row").arg(row.to_string()).arg("epoch").arg(1).arg("offset").arg(1);
    let _: String = add.query_async(&mut connection).await.unwrap();
    say(&ana, stream, "in time").await;
    database.says("select count(*) = 1 from chat_messages where message = 'in time'").await;
    // What is written is let go a moment later.
    let only_the_early_one = async {
        loop {
            let left: usize =
                redis::cmd("XLEN").arg("chat:persist").query_async(&mut connection).await.unwrap();
            if left == 1 {
                return;
            }
            assert_ne!(left, 0, "it was lost");
        }
    };
    soon(only_the_early_one).await;
    let days: i64 =
        sqlx::query_scalar("select count(*) from pg_inherits where inhparent = 'chat_messages'::regclass")
            .fetch_one(&database.pool)
            .await
            .unwrap();
    assert_eq!(days, 16, "and no day is made because somebody's clock says so");
}
