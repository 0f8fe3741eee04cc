-- What came of a publisher whose broadcast was ended because none of it could be played, in words for the streamer.
alter table streams add column ended_detail varchar(400);
