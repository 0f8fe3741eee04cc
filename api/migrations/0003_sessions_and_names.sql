-- One row a log-in; its id is the `sid` of the access tokens. Its refresh tokens are numbered and derived from the row's id
-- and the number, so none of them is kept: however often a session is refreshed, it stays one row until it ends.
create table sessions (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    -- Of the newest refresh token, and of the one that it was given for.
    serial integer not null default 0,
    predecessor integer,
    -- When the newest token was given out, and whether its holder has shown since that the answer arrived.
    exchanged_at timestamptz not null default now(),
    received boolean not null default false,
    -- When the newest token dies unused, and when the session ends however often it is refreshed.
    expires_at timestamptz not null,
    ends_at timestamptz not null,
    -- Logged out, or a token was used twice. This column has the last word: no list in memory or in Redis repeats it.
    revoked_at timestamptz,
    -- Of the last refresh.
    user_agent varchar(256),
    ip varchar(45),
    created_at timestamptz not null default now()
);

create index sessions_of_user on sessions (user_id, exchanged_at desc);
create index sessions_end on sessions (ends_at);

-- Log-ins from before this migration go on.
insert into sessions (id, user_id, exchanged_at, expires_at, ends_at, revoked_at, user_agent, ip, created_at)
select family_id, user_id, max(created_at), max(expires_at), max(family_expires_at), max(revoked_at),
       (array_agg(user_agent order by id desc))[1], (array_agg(ip order by id desc))[1], min(created_at)
from refresh_tokens group by family_id, user_id;

-- Tokens from before this migration, until their sessions end; no new ones are written. They no longer hang on each other,
-- only on their session: an ancestor that went used to take the living token with it.
alter table refresh_tokens
    drop constraint refresh_tokens_parent_id_fkey,
    add constraint refresh_tokens_session foreign key (family_id) references sessions (id) on delete cascade;
drop index refresh_tokens_revoked;
drop index refresh_tokens_expiry;

-- Names and addresses as they are compared, computed by the api alone (`names.rs`): PostgreSQL's lower() depends on the
-- database's locale and differs from every other implementation. The api fills these in at its start. Null means that an
-- older account has the same one, which the former indexes allowed in some locales: that account logs in by its other name.
drop index users_username_key;
drop index users_email_key;
alter table users
    add column username_normal text constraint users_username_key unique,
    add column email_normal text constraint users_email_key unique;
