//! A database for one test.

use std::str::FromStr as _;
use std::sync::mpsc;
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{
    AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _, PgPool, Postgres, Transaction,
};
use uuid::Uuid;

/// Empty at first, gone with its last user.
pub(crate) struct TestDatabase {
    server: PgConnectOptions,
    name: String,
    pub(crate) url: String,
    pub(crate) pool: PgPool,
}

impl TestDatabase {
    pub(crate) async fn create() -> Self {
        let url = std::env::var("DATABASE_URL")
            .expect("DATABASE_URL is not set; run the tests under scripts/with-postgres.sh");
        let server = PgConnectOptions::from_str(&url).expect("DATABASE_URL");
        let name = format!("caudal_test_{}", Uuid::now_v7().simple());
        let mut connection = server.connect().await.expect("PostgreSQL of DATABASE_URL does not answer");
        connection.execute(AssertSqlSafe(format!("create database {name}"))).await.unwrap();
        connection.close().await.unwrap();
        let (start, options) = url.split_once('?').map_or((url.as_str(), None), |(s, o)| (s, Some(o)));
        let (start, _) = start.rsplit_once('/').expect("DATABASE_URL has a path");
        let url = format!("{start}/{name}{}", options.map(|o| format!("?{o}")).unwrap_or_default());
        let pool = PgPool::connect_lazy(&url).unwrap();
        Self { server, name, url, pool }
    }
}

impl TestDatabase {
    /// Until `question`, a query for one boolean, is answered with true.
    pub(crate) async fn says(&self, question: &'static str) {
        let asked = async {
            while sqlx::query_scalar::<_, Option<bool>>(question).fetch_one(&self.pool).await.unwrap()
                != Some(true)
            {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), asked)
            .await
            .unwrap_or_else(|_| panic!("never true: {question}"));
    }

    /// Until the transaction ends: a table's name, and in which mode.
    pub(crate) async fn lock(&self, what: &str) -> Transaction<'static, Postgres> {
        let mut transaction = self.pool.begin().await.unwrap();
        let lock = AssertSqlSafe(format!("lock table {what}"));
        sqlx::raw_sql(lock).execute(&mut *transaction).await.unwrap();
        transaction
    }

    pub(crate) async fn execute(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&self.pool).await.unwrap();
    }

    /// As if the server were gone, for this database's users.
    pub(crate) async fn goes_away(&self) {
        let mut connection = self.server.connect().await.unwrap();
        let name = &self.name;
        for statement in [
            format!("alter database {name} allow_connections false"),
            format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
        ] {
            connection.execute(AssertSqlSafe(statement)).await.unwrap();
        }
    }
}

impl TestDatabase {
    /// After [`Self::goes_away`].
    pub(crate) async fn comes_back(&self) {
        let mut connection = self.server.connect().await.unwrap();
        let statement = format!("alter database {} allow_connections true", self.name);
        connection.execute(AssertSqlSafe(statement)).await.unwrap();
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let (server, name) = (self.server.clone(), self.name.clone());
        let (working, finished) = mpsc::channel::<()>();
        // The test's own runtime is going away.
        std::thread::spawn(move || {
            let _working = working;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut connection) = server.connect().await {
                    let _ = connection
                        .execute(AssertSqlSafe(format!("drop database if exists {name} with (force)")))
                        .await;
                }
            });
        });
        // Not for as long as it takes: PostgreSQL drops no database while somebody is logging in, and that may be a
        // connection of this very thread's runtime, which goes on only when this returns.
        let _ = finished.recv_timeout(Duration::from_secs(2));
    }
}
