-- Names that look alike are one, as far as registering goes: the skeleton is computed by the api (`username.rs`), which fills in those of
-- older accounts at its start. Null means that an older account has the same one; both keep their names. Deleted accounts have none.
alter table users
    add column username_skeleton text constraint users_skeleton_key unique,
    -- From a deletion on, for as long as there may be traces of the person left to erase.
    add column erasing_since timestamptz;
create index users_being_erased on users (erasing_since) where erasing_since is not null;

-- Names of deleted accounts, by the hash of their skeleton, until somebody else may have them.
create table former_names (
    skeleton_hash bytea primary key,
    free_at timestamptz not null
);
create index former_names_free on former_names (free_at);

-- Links by which somebody sets a new password. Only hashes: whoever reads the database can open none.
create table password_resets (
    token_hash bytea primary key,
    user_id uuid not null references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index password_resets_of_user on password_resets (user_id, created_at desc);
create index password_resets_expiry on password_resets (expires_at);

-- Links by which somebody shows that an address is theirs: the one that the link was sent to.
create table email_verifications (
    token_hash bytea primary key,
    user_id uuid not null references users (id) on delete cascade,
    email varchar(254) not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);
create index email_verifications_of_user on email_verifications (user_id, created_at desc);
create index email_verifications_expiry on email_verifications (expires_at);
