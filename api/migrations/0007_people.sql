-- Who follows whom, who is blocked by whom, and what there is to be found by.

create table followers (
    follower_id uuid not null constraint followers_follower_known references users (id) on delete cascade,
    following_id uuid not null constraint followers_following_known references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (follower_id, following_id),
    constraint followers_not_oneself check (follower_id <> following_id)
);

-- Both lists have the latest first; the counts are read from these too.
create index followers_of on followers (following_id, created_at desc, follower_id desc);
create index followed_by on followers (follower_id, created_at desc, following_id desc);

create table user_blocks (
    blocker_id uuid not null references users (id) on delete cascade,
    blocked_id uuid not null references users (id) on delete cascade,
    created_at timestamptz not null default now(),
    primary key (blocker_id, blocked_id),
    constraint user_blocks_not_oneself check (blocker_id <> blocked_id)
);

create index user_blocks_by on user_blocks (blocker_id, created_at desc, blocked_id desc);
create index user_blocks_of on user_blocks (blocked_id);

-- Searches are for beginnings of names. The display name as it is compared is computed by the api (`names.rs`).
alter table users add column display_name_normal text;
create index users_by_name on users (username_normal text_pattern_ops) where deleted_at is null and banned_at is null;
create index users_by_display_name on users (display_name_normal text_pattern_ops)
    where deleted_at is null and banned_at is null;

-- To begin with; an admin changes and removes them like others.
insert into categories (id, name, slug) values
    ('01936f00-0000-7000-8000-000000000001', 'Art', 'art'),
    ('01936f00-0000-7000-8000-000000000002', 'Cooking', 'cooking'),
    ('01936f00-0000-7000-8000-000000000003', 'Education', 'education'),
    ('01936f00-0000-7000-8000-000000000004', 'Events', 'events'),
    ('01936f00-0000-7000-8000-000000000005', 'Fitness', 'fitness'),
    ('01936f00-0000-7000-8000-000000000006', 'Games', 'games'),
    ('01936f00-0000-7000-8000-000000000007', 'Just Chatting', 'just-chatting'),
    ('01936f00-0000-7000-8000-000000000008', 'Music', 'music'),
    ('01936f00-0000-7000-8000-000000000009', 'News', 'news'),
    ('01936f00-0000-7000-8000-00000000000a', 'Outdoors', 'outdoors'),
    ('01936f00-0000-7000-8000-00000000000b', 'Programming', 'programming'),
    ('01936f00-0000-7000-8000-00000000000c', 'Science', 'science'),
    ('01936f00-0000-7000-8000-00000000000d', 'Sports', 'sports'),
    ('01936f00-0000-7000-8000-00000000000e', 'Talk', 'talk'),
    ('01936f00-0000-7000-8000-00000000000f', 'Travel', 'travel')
on conflict do nothing;
