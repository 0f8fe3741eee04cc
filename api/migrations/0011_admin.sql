-- What admins decide, and what is remembered of it.

-- Who may open an account, as an admin has said it; without a row it is as the setting says.
create table registration (
    only_row boolean primary key default true check (only_row),
    mode varchar(16) not null constraint registration_mode_known check (mode in ('open', 'invitation', 'closed')),
    changed_at timestamptz not null default now()
);

create table invitations (
    id uuid primary key,
    -- SHA-256 of the token, which is shown once.
    token_hash bytea not null constraint invitations_token_key unique,
    -- Whom it is for, in the admin's words.
    note varchar(100),
    uses integer not null constraint invitations_uses_bounded check (uses between 1 and 100),
    used integer not null default 0 constraint invitations_not_overused check (used between 0 and uses),
    created_by uuid references users (id) on delete set null,
    created_at timestamptz not null default now(),
    expires_at timestamptz not null
);

create index invitations_expiry on invitations (expires_at);

-- Why somebody is banned, in the admin's words; for admins.
alter table users add column ban_reason varchar(500);
create index users_admins on users (id) where role = 'admin';

-- Who did what to whom; written in the transaction of the act. Ids stay when what they name is gone.
create table audit_log (
    -- UUIDv7: in the order of time.
    id uuid primary key,
    -- Null for `caudal admin`.
    actor_id uuid,
    action varchar(32) not null,
    subject_kind varchar(16) not null,
    subject_id uuid,
    details jsonb not null default '{}',
    -- The actor's address.
    ip varchar(45),
    created_at timestamptz not null default now()
);

create index audit_log_of_actor on audit_log (actor_id, id desc);
create index audit_log_of_subject on audit_log (subject_id, id desc);
create index audit_log_of_action on audit_log (action, id desc);
create index audit_log_age on audit_log (created_at);
