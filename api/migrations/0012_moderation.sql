-- Moderation of chat. It is a channel's, which is its streamer's account, so that it outlives broadcasts.
create table chat_settings (
    channel_id uuid primary key references users (id) on delete cascade,
    -- Counts every change to what a channel's chat allows: these settings, its moderators, bans and terms. A replica asks for this
    -- number to learn whether what it remembers still holds. Whoever changes any of them updates this row first, which locks it.
    version bigint not null default 1,
    slow_seconds integer not null default 0
        constraint chat_settings_slow_range check (slow_seconds between 0 and 120),
    -- Null lets everybody talk, 0 all followers.
    followers_only_minutes integer
        constraint chat_settings_followers_range check (followers_only_minutes between 0 and 129600),
    subs_only boolean not null default false,
    emote_only boolean not null default false,
    unique_only boolean not null default false,
    links varchar(8) not null default 'allow' constraint chat_settings_links_known check (links in ('allow', 'block'))
);

create table channel_moderators (
    channel_id uuid not null references users (id) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (channel_id, user_id),
    constraint channel_moderators_not_oneself check (channel_id <> user_id)
);

create index channel_moderators_of_user on channel_moderators (user_id);

create table channel_bans (
    channel_id uuid not null references users (id) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    banned_by uuid references users (id) on delete set null,
    reason varchar(200),
    -- Null is for good.
    expires_at timestamptz,
    created_at timestamptz not null default now(),
    primary key (channel_id, user_id),
    constraint channel_bans_not_oneself check (channel_id <> user_id)
);

create index channel_bans_latest on channel_bans (channel_id, created_at desc, user_id desc);
create index channel_bans_of_user on channel_bans (user_id);
create index channel_bans_by on channel_bans (banned_by);
create index channel_bans_expiry on channel_bans (expires_at) where expires_at is not null;

create table blocked_terms (
    id uuid primary key,
    channel_id uuid not null references users (id) on delete cascade,
    -- As it was typed.
    term varchar(64) not null,
    added_by uuid references users (id) on delete set null,
    created_at timestamptz not null default now()
);

create index blocked_terms_of on blocked_terms (channel_id, created_at desc, id desc);
create index blocked_terms_by on blocked_terms (added_by);

-- Who did what to whom; swept after a year.
create table moderation_actions (
    id uuid primary key,
    channel_id uuid not null references users (id) on delete cascade,
    actor_id uuid references users (id) on delete set null,
    target_id uuid references users (id) on delete set null,
    action varchar(32) not null,
    detail jsonb not null default '{}',
    created_at timestamptz not null default now()
);

create index moderation_actions_of on moderation_actions (channel_id, created_at desc, id desc);
create index moderation_actions_by_age on moderation_actions (created_at);
create index moderation_actions_by on moderation_actions (actor_id);
create index moderation_actions_on on moderation_actions (target_id);

-- What the server stamped on a message when it was said.
alter table chat_messages add column badges text[] not null default '{}';
