-- What was said beside streams, a partition a day (UTC): the api makes them ahead of time and drops them when they are old.
-- `created_at` is the id's own time (UUIDv7).
create table chat_messages (
    id uuid not null,
    stream_id uuid not null references streams (id) on delete cascade,
    user_id uuid not null references users (id) on delete cascade,
    message text not null,
    created_at timestamptz not null,
    reply_to uuid,
    -- The place in the room: consecutive within an epoch, and epochs begin one after the other.
    epoch bigint not null,
    sequence bigint not null,
    deleted_at timestamptz,
    deleted_by uuid,
    primary key (id, created_at)
) partition by range (created_at);

create index chat_messages_of_stream on chat_messages (stream_id, epoch desc, sequence desc);
create index chat_messages_of_user on chat_messages (user_id, created_at desc);
