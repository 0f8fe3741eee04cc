//! What a test asks its Redis. Apart from [`RedisServer`], which the ingest router's tests have too.

use crate::redis_server::RedisServer;

impl RedisServer {
    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let client = redis::Client::open(self.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.unwrap()
    }
}
