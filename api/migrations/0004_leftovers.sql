-- For what the background looks at every few seconds.
create index users_streaming on users (id) where is_streaming;
create index users_unwelcome on users (id) where banned_at is not null or deleted_at is not null;

-- `sort=recent` begins with the latest start. A live row without one was edited by hand.
create index streams_live_by_start on streams (coalesce(started_at, created_at) desc, id desc) where is_live;

comment on column streams.authorized_at is 'When a publisher was last let in. From the first time on, the controller answers for the row''s end.';
