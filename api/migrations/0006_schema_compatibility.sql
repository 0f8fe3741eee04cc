-- Which versions still work with this schema: those that know migration min_version. One that only adds leaves it as it is; one that takes
-- away or changes what the release before uses sets it to its own number.
create table schema_compatibility (
    only_row boolean primary key default true check (only_row),
    min_version bigint not null
);
insert into schema_compatibility (min_version) values (6);
