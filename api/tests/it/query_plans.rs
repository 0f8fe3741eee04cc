//! Every query of the api on a database that has grown: whatever a request asks for is found by an index.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use chrono::Utc;
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection, Row as _};

use crate::running::Running;

/// Tables that grow with people and with time. Others are small, and reading them whole is right.
const GROWING: [&str; 8] = [
    "users",
    "sessions",
    "streams",
    "stream_categories",
    "followers",
    "user_blocks",
    "event_subscriptions",
    "pictures",
];

/// Read whole on purpose: the beginning of each query, and why.
const WHOLE: [(&str, &str); 5] = [
    (
        r#"select id as "id!" from ( select id from users u where is_streaming"#,
        "what is live joined with its people: one look-up for each is dearer here",
    ),
    (
        "delete from sessions where id in ( select id from sessions where ends_at",
        "a sweep of up to 10,000 rows",
    ),
    ("select id, username, created_at from users where username_skeleton is null", "once, at a start"),
    (
        "select u.id, u.username, u.display_name, u.avatar_url",
        "planned anew for each pattern: see the next test",
    ),
    (
        "with watched as materialized ( select sc.category_id",
        "what is live times its categories: one look-up for each is dearer",
    ),
];

/// A background at work would change the rows of which PostgreSQL has just been told how many there are.
async fn at_rest() -> Running {
    Running::start_with(|config| config.deadlines.sweep = Duration::from_hours(1)).await
}

#[tokio::test]
async fn no_query_reads_a_table_that_grows_from_end_to_end() {
    let api = at_rest().await;
    api.database.execute(GROWN).await;
    let mut connection = PgConnection::connect(&api.database.url).await.unwrap();
    // The plan for any values, which does not profit from the emptiness of those in a test.
    connection.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    let queries = queries();
    assert!(queries.len() > 90, "{}", queries.len());
    let mut faults = BTreeMap::new();
    let mut whole = Vec::new();
    for (query, parameters) in &queries {
        let plan = plan(&mut connection, query, *parameters).await;
        let mut read = Vec::new();
        read_whole(&plan, &mut read);
        if read.is_empty() {
            continue;
        }
        let words = query.split_whitespace().collect::<Vec<_>>().join(" ");
        match WHOLE.iter().find(|(beginning, _)| words.starts_with(beginning)) {
            Some((beginning, _)) => whole.push(*beginning),
            None => drop(faults.insert(words, read)),
        }
    }
    assert!(faults.is_empty(), "read from end to end: {faults:#?}");
    for (beginning, _) in WHOLE {
        assert!(whole.contains(&beginning), "no query reads a table whole and begins with: {beginning}");
    }
}

#[tokio::test]
async fn a_search_goes_by_the_beginnings_of_names() {
    let api = at_rest().await;
    api.database.execute(GROWN).await;
    let mut connection = PgConnection::connect(&api.database.url).await.unwrap();
    connection.execute("set plan_cache_mode = force_custom_plan").await.unwrap();
    let queries = queries();
    let (query, _) = queries.iter().find(|(query, _)| query.contains("username_normal like $2")).unwrap();
    let plan = plan_with(&mut connection, query, "('person77', 'person77%', 10)").await;
    let mut read = Vec::new();
    read_whole(&plan, &mut read);
    assert!(read.is_empty(), "{plan:#}");
}

#[tokio::test]
async fn the_log_of_admins_is_read_by_one_index_whatever_is_asked_for() {
    let api = at_rest().await;
    api.database.execute(LOGGED).await;
    let mut connection = PgConnection::connect(&api.database.url).await.unwrap();
    connection.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    let queries = queries();
    let (query, _) = queries.iter().find(|(query, _)| query.contains("select * from audit_log")).unwrap();
    let (someone, act) = ("'00000000-0000-7000-8000-000000000001'", "'user.unban'");
    for (actor, subject, action, index) in [
        (someone, "null", "null", "audit_log_of_actor"),
        (someone, someone, act, "audit_log_of_actor"),
        ("null", someone, act, "audit_log_of_subject"),
        ("null", "null", act, "audit_log_of_action"),
        ("null", "null", "null", "audit_log_pkey"),
    ] {
        let arguments = format!(
            "({actor}, {subject}, {action}, '00000000-0000-0000-0000-000000000000', 'ffffffff-ffff-ffff-ffff-ffffffffffff', 21)"
        );
        let plan = explained(&mut connection, "analyze, format json", query, &arguments).await;
        let mut read = Vec::new();
        log_read(&plan, &mut read);
        assert_eq!(read, [index], "{arguments}");
    }
}

#[tokio::test]
async fn the_list_of_a_category_does_not_read_its_past() {
    let api = at_rest().await;
    api.database.execute(GROWN).await;
    let mut connection = PgConnection::connect(&api.database.url).await.unwrap();
    connection.execute("set plan_cache_mode = force_generic_plan").await.unwrap();
    let queries = queries();
    let lists: Vec<_> =
        queries.iter().filter(|(query, _)| query.contains("sc.category_id = (select c.id")).collect();
    assert_eq!(lists.len(), 2, "by viewers and by start");
    for (query, _) in lists {
        let arguments = "('music', null, null, null, null, null, 21)";
        let plan = explained(&mut connection, "analyze, format json", query, arguments).await;
        // 400 are live, and 5,000 were of that category.
        assert!(rows_read(&plan, "stream_categories") <= 400.0, "{plan:#}");
    }
}

/// Rows that a plan that was carried out has read of a table.
fn rows_read(plan: &Value, table: &str) -> f64 {
    match plan {
        Value::Array(nodes) => nodes.iter().map(|node| rows_read(node, table)).sum(),
        Value::Object(node) => {
            let number = |key: &str| node.get(key).and_then(Value::as_f64).unwrap_or(0.0);
            let is_of_it = node.get("Relation Name").and_then(Value::as_str) == Some(table);
            let own = if is_of_it { number("Actual Rows") * number("Actual Loops") } else { 0.0 };
            own + node.values().map(|child| rows_read(child, table)).sum::<f64>()
        }
        _ => 0.0,
    }
}

/// By what the log was read in a plan that was carried out.
fn log_read(plan: &Value, found: &mut Vec<String>) {
    match plan {
        Value::Array(nodes) => nodes.iter().for_each(|node| log_read(node, found)),
        Value::Object(node) => {
            let says = |key: &str| node.get(key).and_then(Value::as_str).unwrap_or_default();
            // What is compared with nothing ends before it begins.
            let was_read = node.get("Actual Rows").and_then(Value::as_f64).is_some_and(|rows| rows > 0.0);
            if was_read && says("Index Name").starts_with("audit_log") {
                found.push(says("Index Name").to_owned());
            } else if was_read && says("Node Type") == "Seq Scan" && says("Relation Name") == "audit_log" {
                found.push("from end to end".to_owned());
            }
            node.values().for_each(|child| log_read(child, found));
        }
        _ => {}
    }
}

/// What `.sqlx` has of the queries in the code: their text, and how many parameters they take.
fn queries() -> Vec<(String, usize)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.sqlx");
    let files = std::fs::read_dir(folder).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files
        .map(|text| {
            let query: Value = serde_json::from_slice(&text).unwrap();
            let parameters = query["describe"]["parameters"]["Left"].as_array().unwrap().len();
            (query["query"].as_str().unwrap().to_owned(), parameters)
        })
        // What is no query has no plan.
        .filter(|(query, _)| !query.starts_with("lock "))
        .collect()
}

async fn plan(connection: &mut PgConnection, query: &str, parameters: usize) -> Value {
    let nothing = vec!["null"; parameters].join(", ");
    let arguments = if parameters == 0 { String::new() } else { format!("({nothing})") };
    plan_with(connection, query, &arguments).await
}

async fn plan_with(connection: &mut PgConnection, query: &str, arguments: &str) -> Value {
    explained(connection, "format json", query, arguments).await
}

async fn explained(connection: &mut PgConnection, how: &str, query: &str, arguments: &str) -> Value {
    connection.execute(AssertSqlSafe(format!("prepare asked as {query}"))).await.unwrap();
    let explain = AssertSqlSafe(format!("explain ({how}) execute asked{arguments}"));
    let row = sqlx::raw_sql(explain).fetch_one(&mut *connection).await.unwrap();
    connection.execute("deallocate asked").await.unwrap();
    row.get(0)
}

/// Tables that grow and are read from end to end, anywhere in a plan.
fn read_whole(plan: &Value, found: &mut Vec<String>) {
    match plan {
        Value::Array(nodes) => nodes.iter().for_each(|node| read_whole(node, found)),
        Value::Object(node) => {
            let table = node.get("Relation Name").and_then(Value::as_str).unwrap_or_default();
            // The partitions of other days are empty here.
            let today = Utc::now().format("chat_messages_%Y%m%d").to_string();
            let grows = GROWING.contains(&table) || table == today;
            if node.get("Node Type").and_then(Value::as_str) == Some("Seq Scan") && grows {
                found.push(table.to_owned());
            }
            node.values().for_each(|child| read_whole(child, found));
        }
        _ => {}
    }
}

/// Twenty thousand people, who have logged in, broadcast, followed and chatted for a year.
const GROWN: &str = "
insert into users (id, username, username_normal, email, email_normal, display_name, display_name_normal, password_hash, stream_key, stream_key_enc, stream_key_kid)
select gen_random_uuid(), 'person' || n, 'person' || n, n || '@example.org', n || '@example.org', 'Person ' || n, 'person ' || n, '-',
       md5('a' || n) || md5('b' || n), '\\x00', 'none'
from generate_series(1, 20000) n;
create temporary table numbered as select id, row_number() over () n from users;
create index on numbered (n);
insert into sessions (id, user_id, expires_at, ends_at)
select gen_random_uuid(), id, now() + interval '7 days', now() + interval '30 days' from users, generate_series(1, 3);
insert into streams (id, user_id, title, viewer_count, is_live, started_at, ended_at, created_at)
select gen_random_uuid(), id, 'A broadcast', 0, false, at, at + interval '1 hour', at
from users, generate_series(1, 4) k, lateral (select now() - k * interval '30 days' as at) times;
insert into streams (id, user_id, title, viewer_count, is_live, started_at, created_at, language)
select gen_random_uuid(), id, 'A live broadcast', n % 500, true, now(), now(), 'es' from numbered where n % 50 = 0;
insert into pictures (id, kind, subject, owner_id, unused_since) select gen_random_uuid(), 'avatar', id, id, null from users;
insert into pictures (id, kind, subject, owner_id, unused_since)
select gen_random_uuid(), 'thumbnail', s.id, s.user_id, null from streams s join numbered u on u.id = s.user_id
where s.is_live and u.n % 400 = 0;
insert into pictures (id, kind, subject, owner_id, unused_since)
select gen_random_uuid(), 'avatar', id, id, now() - n * interval '1 second' from numbered where n % 100 = 0;
insert into stream_categories (stream_id, category_id)
select s.id, c.id from (select id, row_number() over () n from streams) s
join (select id, row_number() over () - 1 n from categories) c on c.n = s.n % 15;
insert into followers (follower_id, following_id)
select a.id, b.id from numbered a join numbered b on b.n = any (array[1 + (a.n * 7) % 20000, 1 + (a.n * 13) % 20000, 1 + (a.n * 31) % 20000, 1])
where a.id <> b.id on conflict do nothing;
insert into user_blocks (blocker_id, blocked_id)
select a.id, b.id from numbered a join numbered b on b.n = 1 + (a.n * 3) % 20000 where a.id <> b.id;
insert into event_subscriptions (id, user_id, streamer_id, callback, types, secret_enc, secret_kid, status)
select gen_random_uuid(), a.id, b.id, 'https://bot.example/hooks', '{stream_started}', '\\x00', 'none',
       case when a.n % 10 = 0 then 'verification_failed' else 'enabled' end
from numbered a join numbered b on b.n = any (array[1 + (a.n * 7) % 20000, 1 + (a.n * 11) % 20000]);
insert into chat_messages (id, stream_id, user_id, message, created_at, epoch, sequence)
select gen_random_uuid(), s.id, s.user_id, 'Hola', now(), 1, k
from (select id, user_id from streams where is_live) s, generate_series(1, 100) k;
analyze;
";

/// Two hundred admins' acts of a year.
const LOGGED: &str = "
insert into audit_log (id, actor_id, action, subject_kind, subject_id)
select gen_random_uuid(), ('00000000-0000-7000-8000-' || lpad((n % 200)::text, 12, '0'))::uuid,
       (array['user.ban', 'user.unban', 'category.edit', 'stream.end'])[1 + n % 4], 'user',
       ('00000000-0000-7000-8000-' || lpad((n % 5000)::text, 12, '0'))::uuid
from generate_series(1, 20000) n;
analyze audit_log;
";
