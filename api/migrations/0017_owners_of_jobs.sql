-- For whose account a job asks a host: a replica has only a few such jobs under way for one account, by however many hosts. No foreign
-- key: a job of somebody who is gone ends at its next try. Null where no host is asked, and for jobs that replicas of the release before
-- put during an upgrade, of which only the hosts count.
alter table outbox add column owner_id uuid;
update outbox o set owner_id = e.user_id
from event_subscriptions e
where o.lane = 'webhooks' and o.payload ->> 'subscription' = e.id::text;
