//! What is said of a name that is no setting's.

/// That there is no setting `name`, with the one of `known` that was probably meant.
pub fn unknown<'a>(name: &str, known: impl Iterator<Item = &'a str>, role: &str) -> String {
    let meant = nearest(name, known).map(|meant| format!("did you mean {meant}? ")).unwrap_or_default();
    format!("there is no setting {name}; {meant}`caudal {role} --help` lists them")
}

/// The name that differs least, if it is near; none where two are as near as each other.
fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_ascii_uppercase();
    let mut near: Vec<_> = known.filter_map(|known| Some((slips(&name, known)?, known))).collect();
    near.sort_unstable();
    match near.as_slice() {
        [(best, _), (second, _), ..] if best == second => None,
        [(_, known), ..] => Some(known),
        [] => None,
    }
}

/// How many slips make `name` of `known`, if they are few. What many names begin with says nothing of which one was meant, and
/// may be there or not: `CAUDAL_PORT` is `PORT`, and not `CAUDAL_POOL`.
fn slips(name: &str, known: &str) -> Option<usize> {
    let bare = |name| str::strip_prefix(name, PREFIX).unwrap_or(name);
    // With a slip in the beginning itself, that cannot be left out.
    let whole = (!name.starts_with(PREFIX)).then_some((name, known));
    let ways = [Some((bare(name), bare(known))), whole].into_iter().flatten();
    let slips = ways.map(|(name, known)| (strsim::osa_distance(name, known), known.len()));
    slips
        .filter(|(slips, length)| *slips <= MOST_SLIPS && slips * LETTERS_A_SLIP <= *length)
        .map(|(slips, _)| slips)
        .min()
}

const PREFIX: &str = "CAUDAL_";
/// Letters that are missing, too many, wrong, or swapped with their neighbour.
const MOST_SLIPS: usize = 2;
/// Two slips make `PORT` of nearly any short word.
const LETTERS_A_SLIP: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_that_was_meant_is_named_if_one_alone_is_near() {
        let known =
            ["CAUDAL_LADDER", "CAUDAL_POOL", "PORT", "RTMP_PORT", "RTMPS_PORT", "HLS_PATH", "HLS_PORT"];
        for (name, meant) in [
            ("CAUDAL_LADER", Some("CAUDAL_LADDER")),
            ("CAUDAL_LADDRE", Some("CAUDAL_LADDER")),
            ("caudal_ladder", Some("CAUDAL_LADDER")),
            ("CAUDALADDER", Some("CAUDAL_LADDER")),
            ("PROT", Some("PORT")),
            ("CAUDAL_PORT", Some("PORT")),
            ("CAUDAL_HLS_PATH", Some("HLS_PATH")),
            ("LADDER", Some("CAUDAL_LADDER")),
            ("CAUDAL_PUOL", Some("CAUDAL_POOL")),
            ("CAUDAL_PART", Some("PORT")),
            ("CAUDAL_POET", Some("PORT")),
            ("CAUDAL_BOOT", None),
            ("HLS_PAHT", Some("HLS_PATH")),
            // As near to one as to the other.
            ("RTMPX_PORT", None),
            ("POST_", None),
            ("NEITHER", None),
            ("CAUDAL_LETTERS", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), meant, "{name}");
        }
    }
}
