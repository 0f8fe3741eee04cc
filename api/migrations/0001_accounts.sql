-- Times carry their zone, ids come from the application (UUIDv7), and every constraint that a request can violate has a
-- name, because the api turns it into an answer.

create table users (
    id uuid primary key,
    username varchar(25) not null,
    email varchar(254) not null,
    password_hash varchar(255) not null,
    -- HMAC-SHA-256 of the key under the pepper, in hex: unique, found in one look-up, worthless without the pepper.
    stream_key varchar(64) not null constraint users_stream_key_key unique,
    -- The same key once more, encrypted for its owner's eyes, with the id of the key that encrypted it.
    stream_key_enc bytea not null,
    stream_key_kid varchar(16) not null,
    key_rotated_at timestamptz not null default now(),
    -- After its owner ended a broadcast: until then the key opens no new one, however often the encoder returns.
    key_held_until timestamptz,
    is_streaming boolean not null default false,
    display_name varchar(50),
    avatar_url varchar(2048),
    bio varchar(500),
    role varchar(16) not null default 'user' constraint users_role_known check (role in ('user', 'admin')),
    email_verified_at timestamptz,
    banned_at timestamptz,
    deleted_at timestamptz,
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now()
);

-- Ana and ana are one person, wherever they type.
create unique index users_username_key on users (lower(username));
create unique index users_email_key on users (lower(email));

-- One row a token ever issued; a family is one log-in, and its id is the `sid` of the access tokens.
create table refresh_tokens (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    family_id uuid not null,
    parent_id uuid references refresh_tokens (id) on delete cascade,
    token_hash bytea not null constraint refresh_tokens_token_hash_key unique,
    used_at timestamptz,
    revoked_at timestamptz,
    expires_at timestamptz not null,
    family_expires_at timestamptz not null,
    user_agent varchar(256),
    ip varchar(45),
    created_at timestamptz not null default now()
);

create index refresh_tokens_family on refresh_tokens (family_id);
create index refresh_tokens_parent on refresh_tokens (parent_id);
create index refresh_tokens_revoked on refresh_tokens (revoked_at) where revoked_at is not null;
create index refresh_tokens_expiry on refresh_tokens (expires_at);
