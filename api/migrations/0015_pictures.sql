-- Files under pictures/ in storage: each has its row before it is there, and keeps it until it is gone. So no crash leaves a file that
-- nobody knows of. What is shown is in users.avatar_url, streams.thumbnail_url and categories.icon_url, changed in the same transactions.
create table pictures (
    -- In the file's name, too.
    id uuid primary key,
    kind varchar(16) not null constraint pictures_kind_known check (kind in ('avatar', 'thumbnail', 'icon')),
    -- The person, stream or category that it is of. No foreign key: it may be gone before the file is.
    subject uuid not null,
    -- Whose it is, and goes with their account; null of what is the platform's.
    owner_id uuid references users (id),
    -- Since when nobody is shown it: from the upload until it is complete, and again from when another one takes its place. Null while it is shown.
    unused_since timestamptz default now()
);

create unique index pictures_one_shown on pictures (kind, subject) where unused_since is null;
create index pictures_shown_of_owner on pictures (owner_id) where unused_since is null;
create index pictures_unused on pictures (unused_since) where unused_since is not null;
