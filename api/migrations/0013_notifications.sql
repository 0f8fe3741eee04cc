-- What is to be done after a commit: rows are written in the transaction that they follow from, and taken by the job runners of all replicas.
create table outbox (
    id uuid primary key,
    -- Jobs of one lane wait only for each other.
    lane varchar(16) not null,
    topic varchar(32) not null,
    payload jsonb not null,
    -- Of the job as it is now; counted when one begins.
    attempts integer not null default 0,
    -- While somebody is at it: when it counts as abandoned.
    next_at timestamptz not null default now(),
    -- Given up; an admin may have it tried again.
    dead_at timestamptz,
    last_error text,
    created_at timestamptz not null default now()
);

create index outbox_due on outbox (lane, next_at, id) where dead_at is null;
create index outbox_dead on outbox (dead_at desc, id desc) where dead_at is not null;

-- When the outbox was told that a stream began, and that it ended: once each. What is over, or runs, at this migration is not news.
alter table streams add column start_told_at timestamptz, add column end_told_at timestamptz;
update streams set start_told_at = started_at where started_at is not null;
update streams set end_told_at = ended_at where ended_at is not null;
create index streams_start_untold on streams (user_id) where is_live and start_told_at is null;
create index streams_end_untold on streams (user_id)
    where ended_at is not null and start_told_at is not null and end_told_at is null;

-- What people are told, a row for each person and event: the newest 200 of a person, for 90 days.
create table notifications (
    user_id uuid not null references users (id) on delete cascade,
    -- The event's, the same for all who are told of it; UUIDv7, so their order is that of time.
    id uuid not null,
    type varchar(24) not null constraint notifications_type_known check (type in ('stream_started', 'new_follower')),
    -- Whom it is about. No foreign key: whoever is gone is not shown, and a key would need an index in a table of which a
    -- streamer with many followers fills thousands of rows at once.
    actor_id uuid not null,
    stream_id uuid,
    -- The stream's, when it began.
    title varchar(140),
    created_at timestamptz not null,
    read_at timestamptz,
    primary key (user_id, id)
);

create unique index notifications_one_of_follower on notifications (user_id, actor_id) where type = 'new_follower';
create index notifications_unread on notifications (user_id) where read_at is null;
-- They are written in the order of time.
create index notifications_by_age on notifications using brin (created_at);

-- Of those who changed something; everybody else is told of everything.
create table notification_preferences (
    user_id uuid primary key references users (id) on delete cascade,
    stream_started boolean not null,
    new_follower boolean not null
);
