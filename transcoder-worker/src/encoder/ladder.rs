//! Which rungs this machine can make.

use caudal_livestream::admission::LadderRung;

/// How many renditions below the source a worker makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LadderChoice {
    /// As many as the processor cores allow.
    #[default]
    Auto,
    /// Those of the assignment.
    Full,
    /// None.
    SourceOnly,
}

impl LadderChoice {
    /// The rungs to make out of those that were asked for.
    pub(crate) fn of(self, asked: &[LadderRung], cores: usize) -> Vec<LadderRung> {
        match self {
            Self::Full => asked.to_vec(),
            Self::SourceOnly => Vec::new(),
            // Measured with `superfast` and a noisy 1080p30 source: 720p, 480p and 360p together take 0.7 of a core,
            // of which decoding and 720p take two thirds. Two cores carry that beside packaging; one does not. What
            // turns out to be too much all the same (60 fps) loses its top rung while it runs.
            Self::Auto if cores >= 2 => asked.to_vec(),
            Self::Auto => asked.iter().filter(|rung| rung.height <= ONE_CORE_HEIGHT).cloned().collect(),
        }
    }
}

const ONE_CORE_HEIGHT: u32 = 480;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_single_core_makes_no_large_rung() {
        let asked: Vec<_> = [720, 480, 360]
            .map(|height: u32| LadderRung {
                name: format!("{height}p").parse().unwrap(),
                height,
                bitrate: height * 3000,
            })
            .into();
        let heights = |choice: LadderChoice, cores| {
            choice.of(&asked, cores).iter().map(|r| r.height).collect::<Vec<_>>()
        };
        assert_eq!(heights(LadderChoice::Auto, 2), [720, 480, 360]);
        assert_eq!(heights(LadderChoice::Auto, 1), [480, 360]);
        assert_eq!(heights(LadderChoice::Full, 1), [720, 480, 360]);
        assert_eq!(heights(LadderChoice::SourceOnly, 64), [0_u32; 0]);
    }
}
