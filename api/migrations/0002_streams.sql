create table streams (
    id uuid primary key,
    user_id uuid not null references users (id) on delete cascade,
    title varchar(140) not null,
    description text not null default '',
    -- Null means the derived address; a value here wins over it.
    thumbnail_url varchar(2048),
    stream_url varchar(2048),
    is_live boolean not null default false,
    -- A snapshot to sort by; the count that is shown comes from the edges.
    viewer_count integer not null default 0,
    peak_viewers integer not null default 0,
    started_at timestamptz,
    ended_at timestamptz,
    access varchar(16) not null default 'public'
        constraint streams_access_known check (access in ('public', 'premium')),
    language varchar(35),
    max_viewers integer,
    k8s_name varchar(63) generated always as ('s-' || id::text) stored constraint streams_k8s_name_key unique,

    -- Counts the changes that a reader could see; If-Match compares it.
    revision integer not null default 1,
    -- When a publisher was first let in: from then on the controller answers for the row's end.
    authorized_at timestamptz,
    -- The wish to end, committed before anybody is asked to carry it out, and why.
    end_requested_at timestamptz,
    end_requested_reason varchar(32),
    -- The controller's last word. `ended_at` can be set before it, when a publisher's new broadcast pushed this one out.
    done_at timestamptz,
    ended_reason varchar(32),
    -- What the broadcast was like, for the channel's next one.
    hints jsonb,
    created_at timestamptz not null default now(),

    constraint streams_ended_after_start check (ended_at >= started_at),
    constraint streams_live_is_open check (not (is_live and ended_at is not null))
);

create unique index streams_one_open on streams (user_id) where ended_at is null;
create index streams_live_by_viewers on streams (viewer_count desc, id desc) where is_live;
create index streams_of_user on streams (user_id, id desc);
create index streams_to_end on streams (end_requested_at) where end_requested_at is not null and ended_at is null;
create index streams_search on streams using gin (to_tsvector('simple', title || ' ' || description));

create table categories (
    id uuid primary key,
    name varchar(64) not null constraint categories_name_key unique,
    slug varchar(64) not null constraint categories_slug_key unique,
    icon_url varchar(2048),
    created_at timestamptz not null default now()
);

create table stream_categories (
    stream_id uuid not null references streams (id) on delete cascade,
    category_id uuid not null constraint stream_categories_category_known references categories (id) on delete cascade,
    primary key (stream_id, category_id)
);

create index stream_categories_of_category on stream_categories (category_id, stream_id);
