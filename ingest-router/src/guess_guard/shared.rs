//! Guesses at any of the routers, counted in a Redis that they share.

use std::iter;
use std::net::IpAddr;
use std::time::Duration;

use caudal_livestream::proof::RoleKey;
use caudal_service::origin::Origin;
use hmac::{Hmac, KeyInit as _, Mac as _};
use redis::{Script, ScriptInvocation};
use sha2::Sha256;

use super::{ADDRESS, CELLS_U64, Guesser, ROWS};
use crate::known_keys::KeyHash;
use crate::redis_link::RedisLink;

/// The counts of [`super::GuessGuard`] for all routers: the same sketch, a cell a key of Redis, whose time to live is what is
/// owed. So Redis forgets by itself, holds [`ROWS`] times 65,536 cells and 65,536 tries of a key at most, and nothing but hashes
/// under a key that routers alone have.
pub(crate) struct SharedGuesses {
    link: RedisLink,
    names: Names,
    look: Script,
    count: Script,
}

impl SharedGuesses {
    /// Routers whose `key` is the same count together.
    pub(crate) fn new(link: RedisLink, key: &RoleKey) -> Self {
        Self {
            link,
            names: Names::new(key),
            look: Script::new(&format!("{LEFT}{LOOK}")),
            count: Script::new(&format!("{LEFT}{COUNT}")),
        }
    }

    /// Whether a publisher from `address` may try this key; none when Redis does not say.
    pub(crate) async fn allows(&self, address: IpAddr, key: &KeyHash) -> Option<bool> {
        let origin = Origin::from(address);
        let mut connection = self.link.connection();
        let question = self.about(&self.look, origin, key);
        let owed: Vec<u64> = self.link.answer(question.invoke_async(&mut connection)).await?;
        let allowances = iter::once(ADDRESS).chain(Guesser::all(origin).map(Guesser::allowance));
        Some(allowances.zip(owed).all(|(allowance, owed)| allowance.admits(Duration::from_millis(owed))))
    }

    /// This key, which came from `address`, is nobody's.
    pub(crate) async fn wrong(&self, address: IpAddr, key: &KeyHash) {
        let mut connection = self.link.connection();
        let note = self.about(&self.count, Origin::from(address), key);
        let _: Option<()> = self.link.answer(note.invoke_async(&mut connection)).await;
    }

    /// A script with the names that it is about, and the allowances to go by.
    fn about<'a>(&self, script: &'a Script, origin: Origin, key: &KeyHash) -> ScriptInvocation<'a> {
        let Tried { what, places } = self.names.tried(origin, key);
        let mut about = script.prepare_invoke();
        about.arg(what);
        for place in places {
            about.key(place);
        }
        let allowances = iter::once(ADDRESS).chain(Guesser::all(origin).map(Guesser::allowance));
        for allowance in allowances {
            for duration in [allowance.interval, allowance.most()] {
                about.arg(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
            }
        }
        for cell in Guesser::all(origin).flat_map(|guesser| self.names.cells(guesser)) {
            about.key(cell);
        }
        about
    }
}

/// What is called how in Redis: the same at every router of an installation, and hashed, so that neither keys nor addresses
/// can be read there, and nobody outside can find two that share a cell.
struct Names {
    key: [u8; 32],
    /// Tells installations apart that share a Redis.
    prefix: String,
}

/// A try of a key from an address.
struct Tried {
    /// What a place holds that it has taken.
    what: String,
    /// The two that it may take.
    places: [String; 2],
}

impl Names {
    fn new(key: &RoleKey) -> Self {
        let names = Self { key: key.derive("ingest-router/guessed keys"), prefix: String::new() };
        let [mark, ..] = names.hash("installation");
        Self { prefix: format!("caudal:{:08x}:guesses", mark & 0xFFFF_FFFF), ..names }
    }

    fn tried(&self, origin: Origin, key: &KeyHash) -> Tried {
        let [what, first, second, _] = self.hash(&format!("try {origin} {}", key.as_str()));
        let place = |hash: u64| format!("{}:try:{}", self.prefix, hash % CELLS_U64);
        Tried { what: format!("{what:016x}"), places: [place(first), place(second)] }
    }

    fn cells(&self, guesser: Guesser) -> [String; ROWS] {
        let [first, second, ..] = match guesser {
            Guesser::Origin(origin) => self.hash(&format!("address {origin}")),
            Guesser::Site(site) => self.hash(&format!("site {site}")),
        };
        [(0, first), (1, second)].map(|(row, hash)| format!("{}:{row}:{}", self.prefix, hash % CELLS_U64))
    }

    fn hash(&self, what: &str) -> [u64; 4] {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            // HMAC takes keys of any length.
            unreachable!()
        };
        mac.update(what.as_bytes());
        let hash = mac.finalize().into_bytes();
        let mut numbers = [0; 4];
        for (number, bytes) in numbers.iter_mut().zip(hash.as_slice().as_chunks::<8>().0) {
            *number = u64::from_be_bytes(*bytes);
        }
        numbers
    }
}

/// `KEYS`: the two places of the try, then both cells of each guesser. `ARGV`: what a place holds, then interval and most, in
/// milliseconds, of the try and of each guesser.
///
/// What is left of a key that was written before the clock was set back is cut to what anybody can owe.
const LEFT: &str = r"
local function left(key, most)
    local owed = redis.call('PTTL', key)
    if owed > most then
        redis.call('PEXPIRE', key, most)
        return most
    end
    return math.max(owed, 0)
end
local function tried()
    for place = 1, 2 do
        if redis.call('GET', KEYS[place]) == ARGV[1] then
            return KEYS[place], left(KEYS[place], tonumber(ARGV[3]))
        end
    end
    return nil, 0
end
local guessers = (#KEYS - 2) / 2
local function guesser(index)
    return KEYS[1 + 2 * index], KEYS[2 + 2 * index], tonumber(ARGV[2 + 2 * index]), tonumber(ARGV[3 + 2 * index])
end
";

/// Returns what is owed: for the try, and for each guesser, what the least of its cells says.
const LOOK: &str = r"
local _, owed = tried()
local all = { owed }
for index = 1, guessers do
    local first, second, _, most = guesser(index)
    all[index + 1] = math.min(left(first, most), left(second, most))
end
return all
";

/// `GuessGuard::wrong` and `Retries::raise`. Only the cells that say least are raised: those above count somebody else too.
const COUNT: &str = r"
local place, owed = tried()
if owed == 0 then
    for index = 1, guessers do
        local first, second, interval, most = guesser(index)
        local before = { left(first, most), left(second, most) }
        local after = math.min(math.min(before[1], before[2]) + interval, most)
        for row, cell in ipairs({ first, second }) do
            if before[row] < after then
                redis.call('SET', cell, '', 'PX', after)
            end
        end
    end
end
for free = 1, 2 do
    if not place and redis.call('EXISTS', KEYS[free]) == 0 then
        place = KEYS[free]
    end
end
if place then
    redis.call('SET', place, ARGV[1], 'PX', math.min(owed + tonumber(ARGV[2]), tonumber(ARGV[3])))
end
";

#[cfg(test)]
mod tests;
