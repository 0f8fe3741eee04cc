//! One platform per database.

use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use caudal_api::{Config, DatabaseUse};
use reqwest::Method;
use serde_json::json;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, PgConnection};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::database::TestDatabase;
use crate::running::{Running, send};

fn exclusive(config: &mut Config) {
    config.database_use = DatabaseUse::Exclusive;
}

/// The words with which a second platform ends.
async fn refusal(database: Arc<TestDatabase>, patience: Duration) -> String {
    let start = tokio::spawn(async move {
        Running::replica(database, |config| {
            exclusive(config);
            config.deadlines.database_start = patience;
        })
        .await;
    });
    *start.await.unwrap_err().into_panic().downcast::<String>().unwrap()
}

/// Somebody who gets the lock in the same moment in which its owner loses it.
async fn first_in_line(database: &TestDatabase) -> JoinHandle<PgConnection> {
    let mut connection = PgConnection::connect(&database.url).await.unwrap();
    let waiting = tokio::spawn(async move {
        sqlx::query(TAKE).execute(&mut connection).await.unwrap();
        connection
    });
    database.says(SOMEBODY_IS_IN_LINE).await;
    waiting
}

#[tokio::test]
async fn a_second_platform_leaves_the_database_of_the_first_one_alone() {
    let mut first = Running::start_with(exclusive).await;
    let database = Arc::clone(&first.database);
    let words = refusal(Arc::clone(&database), Duration::from_millis(300)).await;
    assert!(words.contains("another Caudal uses this database"), "{words}");
    assert_eq!(first.get("/api/streams").await.status, 200);
    first.shutdown.cancel();
    (&mut first.task).await.unwrap().unwrap();
    let third = Running::replica(database, exclusive).await;
    assert_eq!(third.get("/api/streams").await.status, 200);
}

/// While a second platform waits for the database, `broken` ends connections of the first.
async fn expect_owner_to_stay(broken: &'static str) {
    let owner = Running::start_with(exclusive).await;
    // Longer than the 8 s for which it lets the owner go first.
    let mut waiting = tokio::spawn(refusal(Arc::clone(&owner.database), Duration::from_secs(15)));
    owner.database.says(AN_API_WAITS).await;
    owner.database.execute(broken).await;
    assert!(!waiting.is_finished());
    let words = (&mut waiting).await.unwrap();
    assert!(words.contains("another Caudal uses this database"), "{words}");
    owner.database.says(AN_API_HOLDS).await;
    assert_eq!(owner.get("/api/streams").await.status, 200);
}

#[tokio::test]
async fn after_an_outage_the_database_is_its_owner_s_again_and_not_that_of_one_who_waits() {
    expect_owner_to_stay(END_CONNECTIONS).await;
}

#[tokio::test]
async fn a_database_stays_its_owner_s_when_only_the_connection_of_the_lock_breaks() {
    expect_owner_to_stay(END_HOLDER).await;
}

#[tokio::test]
async fn a_start_that_finds_the_lock_free_beside_a_platform_at_work_leaves_it_to_that_one() {
    let database = Arc::new(TestDatabase::create().await);
    // A platform that has lost nothing but the connection of its lock, and has not noticed yet.
    let options = PgConnectOptions::from_str(&database.url).unwrap().application_name("caudal-api");
    let _at_work = options.connect().await.unwrap();
    let starting = tokio::spawn(refusal(Arc::clone(&database), Duration::from_millis(1)));
    database.says(TWO_APIS).await;
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    sqlx::query(TAKE).execute(&mut owner).await.unwrap();
    let words = starting.await.unwrap();
    assert!(words.contains("another Caudal uses this database"), "{words}");
}

#[tokio::test]
async fn a_lock_that_is_refused_for_a_while_is_taken_again() {
    let owner = Running::start_with(exclusive).await;
    let other = first_in_line(&owner.database).await;
    owner.database.execute(END_HOLDER).await;
    let other = other.await.unwrap();
    owner.database.says(AN_API_WAITS).await;
    other.close().await.unwrap();
    owner.database.says(AN_API_HOLDS).await;
    assert!(!owner.task.is_finished());
    assert_eq!(owner.get("/api/streams").await.status, 200);
}

#[tokio::test]
async fn a_platform_ends_when_another_one_has_its_database() {
    let mut owner = Running::start_with(|config| {
        exclusive(config);
        config.deadlines.lock_refused = Duration::from_millis(300);
    })
    .await;
    let other = first_in_line(&owner.database).await;
    owner.database.execute(END_HOLDER).await;
    let _held = other.await.unwrap();
    let ended = tokio::time::timeout(Duration::from_secs(20), &mut owner.task).await;
    let error = ended.expect("it goes on").unwrap().unwrap_err().to_string();
    assert!(error.contains("another Caudal has taken this database"), "{error}");
}

#[tokio::test]
async fn a_platform_that_ends_keeps_its_database_until_the_last_request_is_answered() {
    let mut api = Running::start_with(exclusive).await;
    let ana = api.register("ana").await;
    // Somebody holds the row that the request needs, so that the shutdown comes while it is being answered.
    let mut held = api.database.pool.begin().await.unwrap();
    sqlx::query("select id from users for update").execute(&mut *held).await.unwrap();
    let asked = tokio::spawn(send(ana.request(Method::POST, "/api/streams").json(&json!({"title": "Soon"}))));
    api.database.says(A_REQUEST_WAITS).await;
    api.shutdown.cancel();
    let address = api.url.strip_prefix("http://").unwrap();
    let closed = async { while TcpStream::connect(address).await.is_ok() {} };
    tokio::time::timeout(Duration::from_secs(20), closed).await.expect("it takes no more requests");
    // Nothing is left of it but the request; long enough for what would end without waiting for that.
    for _ in 0..20 {
        let holds: bool = sqlx::query_scalar(AN_API_HOLDS).fetch_one(&api.database.pool).await.unwrap();
        assert!(holds);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    held.commit().await.unwrap();
    assert_eq!(asked.await.unwrap().status, 201);
    (&mut api.task).await.unwrap().unwrap();
    api.database.says(NOBODY_HOLDS).await;
}

macro_rules! of_the_lock {
    ($question:literal) => {
        concat!(
            "with l as (select * from pg_locks where locktype = 'advisory' and objsubid = 1 \
             and classid::bigint << 32 | objid::bigint = x'63617564616C'::bigint \
             and database = (select oid from pg_database where datname = current_database())) ",
            $question
        )
    };
}

const AN_API_HOLDS: &str = of_the_lock!(
    "select count(*) > 0 from l join pg_stat_activity a using (pid) where l.granted and a.application_name = 'caudal-api'"
);
const TWO_APIS: &str = "select count(*) = 2 from pg_stat_activity \
     where datname = current_database() and application_name = 'caudal-api'";
const NOBODY_HOLDS: &str = of_the_lock!("select count(*) = 0 from l where l.granted");
const SOMEBODY_IS_IN_LINE: &str = of_the_lock!("select count(*) > 0 from l where not l.granted");
/// Its last query was an attempt, or the question that follows one in vain.
const AN_API_WAITS: &str = of_the_lock!(
    "select count(*) > 0 from pg_stat_activity a where a.datname = current_database() and a.application_name = 'caudal-api' \
     and (a.query like '%pg_try_advisory_lock%' or a.query like '%objsubid = 1%') and not exists (select from l where l.pid = a.pid)"
);
const END_HOLDER: &str = of_the_lock!("select pg_terminate_backend(pid) from l where granted");
const A_REQUEST_WAITS: &str = "select count(*) > 0 from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
const END_CONNECTIONS: &str = "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and application_name = 'caudal-api'";
const TAKE: &str = "select pg_advisory_lock(x'63617564616C'::bigint)";
