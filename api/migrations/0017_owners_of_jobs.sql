-- For whose account a job asks a host: a replica has only a few such jobs under way for one account, by however many hosts. No foreign
-- key: a job of somebody who is gone ends at its next try. Null where no host is asked, and for jobs of the release before, of which
-- only the hosts count.
-- Behind a backup that reads the table, whoever wants a job would wait behind this.
set local lock_timeout = '5s';
alter table outbox add column owner_id uuid;
