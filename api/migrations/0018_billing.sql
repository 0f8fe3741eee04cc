-- Subscriptions that are paid for, and the records of money. Rows about money outlive an account, whose row in `users` stays, anonymised.
-- Which rows follow from which: `api/src/billing/mod.rs`.
set local lock_timeout = '5s';

-- What a streamer sells. A new price is a new row; who has the old one keeps it.
create table plans (
    id uuid primary key,
    streamer_id uuid not null references users (id),
    tier varchar(16) not null constraint plans_tier_known check (tier in ('basic', 'pro', 'premium')),
    currency varchar(3) not null,
    -- In the currency's smallest unit, tax included.
    amount_minor bigint not null constraint plans_cost_something check (amount_minor > 0),
    -- Since when it is not sold any more.
    retired_at timestamptz,
    created_at timestamptz not null default now()
);

create unique index plans_one_sold on plans (streamer_id, tier) where retired_at is null;
create index plans_of_streamer on plans (streamer_id);

-- By which names a provider charges for a plan, the latest being the one that is used. None is ever removed: subscribers pay by them.
create table plan_prices (
    provider varchar(16) not null constraint plan_prices_provider_known check (provider in ('stripe', 'paypal')),
    price_id varchar(255) not null,
    plan_id uuid not null references plans (id),
    created_at timestamptz not null default now(),
    primary key (provider, price_id)
);

create index plan_prices_of_plan on plan_prices (plan_id);

-- By which name a provider knows a person.
create table billing_customers (
    user_id uuid not null references users (id),
    provider varchar(16) not null,
    customer_id varchar(255) not null,
    primary key (user_id, provider),
    constraint billing_customers_customer_key unique (provider, customer_id)
);

-- Somebody is about to pay.
create table checkouts (
    id uuid primary key,
    user_id uuid not null references users (id),
    streamer_id uuid not null references users (id),
    plan_id uuid not null references plans (id),
    provider varchar(16) not null,
    -- `refused` was paid for, although there was a subscription already: the money goes back.
    status varchar(16) not null constraint checkouts_status_known check (status in ('open', 'paid', 'expired', 'refused')),
    -- The provider's name for it; null until the provider has been asked to open it.
    session_id varchar(255),
    url varchar(4000),
    -- What came of it there.
    provider_subscription_id varchar(255),
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),
    constraint checkouts_not_oneself check (user_id <> streamer_id)
);

create unique index checkouts_one_open on checkouts (user_id, streamer_id) where status = 'open';
create unique index checkouts_by_session on checkouts (provider, session_id) where session_id is not null;
create index checkouts_of_recent on checkouts (created_at);

create table subscriptions (
    id uuid primary key,
    user_id uuid not null references users (id),
    streamer_id uuid not null references users (id),
    tier varchar(16) not null constraint subscriptions_tier_known check (tier in ('basic', 'pro', 'premium')),
    status varchar(16) not null constraint subscriptions_status_known check (status in ('active', 'cancelled', 'expired')),
    started_at timestamptz not null,
    -- Until when it is paid for, or was.
    expires_at timestamptz not null,
    created_at timestamptz not null default now(),

    -- Until when it entitles although a renewal is late. Who is entitled: status <> 'expired' and greatest(expires_at, grace_until) > now().
    grace_until timestamptz,
    pending_tier varchar(16),
    past_due boolean not null default false,
    disputed boolean not null default false,
    -- When the last payment came that bought something; null where there was another subscription already.
    accepted_through timestamptz,

    provider varchar(16) not null,
    provider_subscription_id varchar(255) not null,
    checkout_id uuid not null constraint subscriptions_one_of_checkout unique references checkouts (id),
    -- What it is renewed at.
    plan_id uuid not null references plans (id),
    -- The provider's own words, of its last answer.
    provider_status varchar(32) not null,
    -- Where something that was not paid can be paid.
    pay_url varchar(4000),
    -- When the provider was asked last.
    synced_at timestamptz not null,

    constraint subscriptions_not_oneself check (user_id <> streamer_id),
    constraint subscriptions_of_provider unique (provider, provider_subscription_id)
);

create unique index subscriptions_one_live on subscriptions (user_id, streamer_id) where status <> 'expired';
create index subscriptions_of_user on subscriptions (user_id, id desc);
create index subscriptions_of_streamer on subscriptions (streamer_id, id desc) where status <> 'expired';
create index subscriptions_to_end on subscriptions (greatest(expires_at, grace_until)) where status <> 'expired';

-- Money that came.
create table payments (
    id uuid primary key,
    subscription_id uuid not null references subscriptions (id),
    provider varchar(16) not null,
    provider_payment_id varchar(255) not null,
    -- By what the money came and goes back; null where nothing had to be paid.
    provider_money_id varchar(255),
    tier varchar(16) not null,
    currency varchar(3) not null,
    amount_minor bigint not null,
    refunded_minor bigint not null constraint payments_not_over_refunded check (refunded_minor between 0 and amount_minor),
    dispute varchar(8) constraint payments_dispute_known check (dispute in ('open', 'won', 'lost')),
    -- The platform's share when the money came: another one later changes nothing of it.
    fee_percent smallint not null,
    -- It bought nothing, and goes back.
    surplus boolean not null,
    period_from timestamptz not null,
    period_to timestamptz not null,
    paid_at timestamptz not null,
    receipt_url varchar(4000),
    constraint payments_provider_payment_key unique (provider, provider_payment_id)
);

create index payments_of_subscription on payments (subscription_id, paid_at desc);

-- What streamers are owed: the sum of their rows. Never changed, only added to.
create table ledger (
    id uuid primary key,
    streamer_id uuid not null references users (id),
    payment_id uuid not null references payments (id),
    currency varchar(3) not null,
    amount_minor bigint not null constraint ledger_says_something check (amount_minor <> 0),
    reason varchar(16) not null,
    created_at timestamptz not null default now()
);

create index ledger_of_streamer on ledger (streamer_id, id desc);
create index ledger_of_payment on ledger (payment_id);

-- What providers told, so that it is heard once. Kept for as long as providers repeat it, and some time more.
create table webhook_events (
    provider varchar(16) not null,
    event_id varchar(255) not null,
    received_at timestamptz not null default now(),
    primary key (provider, event_id)
);

create index webhook_events_old on webhook_events (received_at);

-- Which objects of a provider have changed since they were looked at. `claim` is a fence: who was overtaken writes nothing.
create table billing_syncs (
    provider varchar(16) not null,
    kind varchar(16) not null,
    object_id varchar(255) not null,
    wanted integer not null default 1,
    done integer not null default 0,
    claim integer not null default 0,
    leased_until timestamptz,
    changed_at timestamptz not null default now(),
    primary key (provider, object_id)
);

create index billing_syncs_old on billing_syncs (changed_at) where wanted = done;

-- What a provider is to do. The id is the key under which it does it once.
create table billing_orders (
    id uuid primary key,
    subscription_id uuid not null references subscriptions (id),
    -- `cancel`, at once; `refund`, what is left of a payment.
    kind varchar(16) not null,
    payment_id uuid references payments (id),
    -- `waiting`, `done`, or `refused` by the provider.
    status varchar(16) not null,
    reason varchar(500),
    created_at timestamptz not null default now(),
    settled_at timestamptz
);

create unique index billing_orders_once
    on billing_orders (subscription_id, kind, coalesce(payment_id, '00000000-0000-0000-0000-000000000000')) where status = 'waiting';

-- Who was offered a subscription, once a day each: for the share of them that bought one.
create table subscription_offers (
    day date not null,
    user_id uuid not null references users (id) on delete cascade,
    primary key (day, user_id)
);

alter table notifications drop constraint notifications_type_known;
alter table notifications add constraint notifications_type_known
    check (type in ('stream_started', 'new_follower', 'new_subscriber')) not valid;
