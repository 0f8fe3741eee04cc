-- Who wants to be told by webhook (docs/webhooks.md): at most 25 of a person.
create table event_subscriptions (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    -- Whose events.
    streamer_id uuid not null references users (id) on delete cascade,
    callback varchar(500) not null,
    types text[] not null,
    -- What messages are signed with: nonce and ciphertext, and the id of the key that encrypted it, as of `users.stream_key_enc`.
    secret_enc bytea not null,
    secret_kid varchar(16) not null,
    status varchar(32) not null constraint event_subscriptions_status_known
        check (status in ('pending', 'enabled', 'verification_failed', 'notification_failures_exceeded')),
    -- Since when it has had its status.
    changed_at timestamptz not null default now(),
    -- Since when no message has arrived; null while they do.
    failing_since timestamptz,
    last_failure varchar(300),
    last_failure_at timestamptz,
    created_at timestamptz not null default now()
);

create index event_subscriptions_of_user on event_subscriptions (user_id, id desc);
create index event_subscriptions_by_streamer on event_subscriptions (streamer_id, id);
create index event_subscriptions_idle on event_subscriptions (changed_at) where status <> 'enabled';

-- The host that a job asks, which may be slow: a replica has only a few such jobs under way for one host.
alter table outbox add column target varchar(255);
create index outbox_deliveries on outbox ((payload ->> 'subscription')) where lane = 'webhooks';
