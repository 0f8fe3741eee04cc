//! Some people, and what is theirs, for one call. They are written into the database as the api would: registering takes a hash each.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use uuid::Uuid;

use super::rows::{Caller, PICTURE, Row};
use crate::running::{JWT_SECRET, PASSWORD, Person, Running};

pub(crate) struct World<'a> {
    api: &'a Running,
    /// In the names of these people.
    number: u32,
    people: HashMap<&'static str, Person<'a>>,
}

impl<'a> World<'a> {
    /// Whose password is as `template`'s.
    pub(crate) async fn new(template: &Person<'a>) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let (api, number) = (template.api, NUMBER.fetch_add(1, Ordering::Relaxed));
        let mut people = HashMap::new();
        for who in ["owner", "moderator", "admin", "other", "banned", "viewer"] {
            people.insert(who, person(template, who, number).await);
        }
        let world = Self { api, number, people };
        world
            .execute(
                "insert into channel_moderators (channel_id, user_id) values ($1, $2)",
                &[world.id("owner"), world.id("moderator")],
            )
            .await;
        world
    }

    /// What a row calls, as somebody.
    pub(crate) async fn request(&self, row: &Row, caller: Caller) -> RequestBuilder {
        for thing in row.with {
            self.thing(thing, caller).await;
        }
        let (method, path) = row.call.split_once(' ').unwrap();
        let path = self.filled(path, caller).await;
        let picture = row.body == PICTURE;
        let body = if picture { Value::Null } else { self.body(&row.body, caller).await };
        // Last: whoever is banned makes nothing any more.
        self.execute("update users set banned_at = now() where id = $1", &[self.id("banned")]).await;
        let method: Method = method.parse().unwrap();
        let request = match caller.name() {
            Some(name) => self.people[name].request(method, &path),
            None => self.api.request(method, &path),
        };
        match (picture, body) {
            (true, _) => request.header("content-type", "image/png").body(a_pixel()),
            (false, Value::Null) => request,
            (false, body) => request.json(&body),
        }
    }

    /// A text with each `<thing>` made and put in.
    async fn filled(&self, text: &str, caller: Caller) -> String {
        let mut parts = text.split('<');
        let mut whole = parts.next().unwrap().to_owned();
        for part in parts {
            let (thing, rest) = part.split_once('>').unwrap();
            whole.push_str(&self.thing(thing, caller).await);
            whole.push_str(rest);
        }
        whole
    }

    async fn body(&self, body: &Value, caller: Caller) -> Value {
        let Some(fields) = body.as_object() else { return body.clone() };
        let mut filled = body.clone();
        for (field, value) in fields {
            if let Some(text) = value.as_str() {
                filled[field] = self.filled(text, caller).await.into();
            }
        }
        filled
    }

    /// The owner is about to pay the viewer.
    async fn checkout(&self, caller: Caller) -> Value {
        let seller = Box::pin(self.thing("seller", caller)).await;
        let wanted = json!({ "streamerId": seller, "tier": "pro", "paymentMethod": "card" });
        self.people["owner"].post("/api/subscriptions", wanted).await.json
    }

    /// Something that is there, by the name or the id that it has.
    pub(crate) async fn thing(&self, thing: &str, caller: Caller) -> String {
        let owner = &self.people["owner"];
        match thing {
            "owner" | "viewer" => self.people[thing].id.clone(),
            "name of the caller" => format!("{}_{}", caller.name().unwrap_or("viewer"), self.number),
            "name of nobody" => format!("nobody_{}", self.number),
            "word of nobody" => format!("nobody-{}", self.number),
            "password" => PASSWORD.to_owned(),
            "stream" => {
                let open = owner.get("/api/streams/open").await;
                match open.json[0]["id"].as_str() {
                    Some(open) => open.to_owned(),
                    None => made(owner, "/api/streams", json!({ "title": "Mine" })).await,
                }
            }
            "message" => {
                let stream = self.stream(caller).await;
                let message = json!({ "message": "hola" });
                made(&self.people["viewer"], &format!("/api/chat/{stream}/messages"), message).await
            }
            "term" => {
                let stream = self.stream(caller).await;
                made(owner, &format!("/api/chat/{stream}/terms"), json!({ "term": "spam" })).await
            }
            "session" => session(self.api, owner.id.parse().unwrap()).await.to_string(),
            "refresh token" => {
                let name = caller.name().unwrap_or("viewer");
                let credentials = json!({ "login": format!("{name}_{}", self.number), "password": PASSWORD });
                let tokens = self.api.post("/api/auth/login", credentials).await;
                tokens.json["refreshToken"].as_str().unwrap().to_owned()
            }
            "reset token" => {
                let sql = "insert into password_resets (token_hash, user_id, expires_at) \
                           values (sha256(convert_to($2::text, 'UTF8')), $1, now() + interval '1 hour')";
                self.token(sql).await
            }
            "verification token" => {
                let sql = "insert into email_verifications (token_hash, user_id, email, expires_at) \
                           select sha256(convert_to($2::text, 'UTF8')), id, email, now() + interval '1 hour' \
                           from users where id = $1";
                self.token(sql).await
            }
            "notification" => {
                let sql = "insert into notifications (id, user_id, type, actor_id, created_at) \
                           values ($1, $2, 'new_follower', $3, now())";
                self.insert(sql, &[self.id("owner"), self.id("viewer")]).await
            }
            "category" => {
                let slug = format!("made-{}", self.number);
                let sql = "insert into categories (id, name, slug) values ($1, $2, $2)";
                let insert = sqlx::query(sql).bind(Uuid::now_v7()).bind(&slug);
                insert.execute(&self.api.database.pool).await.unwrap();
                slug
            }
            "tier" => "pro".to_owned(),
            "seller" => {
                let sql = "insert into plans (id, streamer_id, tier, currency, amount_minor) \
                           select gen_random_uuid(), $1, tier, 'EUR', amount from (values ('pro', 999), ('premium', 1999)) sold (tier, amount)
                           on conflict do nothing";
                self.execute(sql, &[self.id("viewer")]).await;
                self.people["viewer"].id.clone()
            }
            "checkout" => self.checkout(caller).await["id"].as_str().unwrap().to_owned(),
            "paid subscription" => {
                let checkout = self.checkout(caller).await;
                let (base, session) = checkout["url"].as_str().unwrap().rsplit_once("/pay/").unwrap();
                let pays = self
                    .api
                    .http
                    .post(format!("{base}/_control/pay"))
                    .json(&json!({ "session": session, "card": "ok" }));
                assert!(pays.send().await.unwrap().status().is_success());
                let id = checkout["id"].as_str().unwrap();
                let paid = owner.get(&format!("/api/checkouts/{id}")).await;
                paid.json["subscriptionId"].as_str().unwrap().to_owned()
            }
            "subscription" => {
                let sql = "insert into event_subscriptions \
                               (id, user_id, streamer_id, callback, types, secret_enc, secret_kid, status) \
                           values ($1, $2, $2, 'https://bot.example/', '{stream_started}', '', '', 'enabled')";
                self.insert(sql, &[self.id("owner")]).await
            }
            "invitation" => {
                let sql = "insert into invitations (id, token_hash, uses, created_by, expires_at) \
                           values ($1, uuid_send($1), 1, $2, now() + interval '1 day')";
                self.insert(sql, &[self.id("admin")]).await
            }
            "dead letter" => {
                let sql = "insert into outbox (id, lane, topic, payload, attempts, dead_at) \
                           values ($1, 'events', 'dance', '{}', 16, now())";
                self.insert(sql, &[]).await
            }
            thing => panic!("nobody knows how to make a {thing}"),
        }
    }

    async fn stream(&self, caller: Caller) -> String {
        Box::pin(self.thing("stream", caller)).await
    }

    pub(crate) fn person(&self, who: &str) -> &Person<'a> {
        &self.people[who]
    }

    fn id(&self, who: &str) -> Uuid {
        self.people[who].id.parse().unwrap()
    }

    async fn execute(&self, sql: &'static str, ids: &[Uuid]) {
        let query = ids.iter().fold(sqlx::query(sql), sqlx::query::Query::bind);
        query.execute(&self.api.database.pool).await.unwrap();
    }

    /// A row with an id, the first parameter.
    async fn insert(&self, sql: &'static str, others: &[Uuid]) -> String {
        let id = Uuid::now_v7();
        self.execute(sql, &[&[id], others].concat()).await;
        id.to_string()
    }

    /// Of a link that the viewer was mailed.
    async fn token(&self, sql: &'static str) -> String {
        let token = format!("token of {}", self.number);
        let insert = sqlx::query(sql).bind(self.id("viewer")).bind(&token);
        insert.execute(&self.api.database.pool).await.unwrap();
        token
    }
}

/// The id of what a request made.
async fn made(person: &Person<'_>, path: &str, body: Value) -> String {
    let answer = person.post(path, body).await;
    assert_eq!(answer.status, 201, "{path}: {}", answer.json);
    answer.json["id"].as_str().unwrap().to_owned()
}

async fn person<'a>(template: &Person<'a>, who: &str, number: u32) -> Person<'a> {
    let (api, id, name) = (template.api, Uuid::now_v7(), format!("{who}_{number}"));
    sqlx::query(
        "insert into users (id, username, username_normal, email, email_normal, role, password_hash, \
                            stream_key, stream_key_enc, stream_key_kid) \
         select $1, $2, $2, $2 || '@example.test', $2 || '@example.test', case when $3 then 'admin' else 'user' end, \
                password_hash, $2, stream_key_enc, stream_key_kid \
         from users where id = $4",
    )
    .bind(id)
    .bind(&name)
    .bind(who == "admin")
    .bind(template.id.parse::<Uuid>().unwrap())
    .execute(&api.database.pool)
    .await
    .unwrap();
    let session = session(api, id).await;
    Person { api, id: id.to_string(), access: access_token(id, session), refresh: String::new() }
}

async fn session(api: &Running, user: Uuid) -> Uuid {
    let id = Uuid::now_v7();
    let insert = "insert into sessions (id, user_id, expires_at, ends_at) \
                  values ($1, $2, now() + interval '1 day', now() + interval '1 day')";
    sqlx::query(insert).bind(id).bind(user).execute(&api.database.pool).await.unwrap();
    id
}

fn access_token(user: Uuid, session: Uuid) -> String {
    let now = jsonwebtoken::get_current_timestamp();
    let claims = json!({
        "sub": user, "sid": session, "srl": 0, "iss": "caudal", "aud": "caudal-api", "typ": "access",
        "iat": now, "exp": now + 600,
    });
    let key = jsonwebtoken::EncodingKey::from_secret(JWT_SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

fn a_pixel() -> Vec<u8> {
    let mut file = std::io::Cursor::new(Vec::new());
    image::RgbImage::new(1, 1).write_to(&mut file, image::ImageFormat::Png).unwrap();
    file.into_inner()
}
