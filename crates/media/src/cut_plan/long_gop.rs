//! Where a GOP is cut that is longer than a segment may be.

use super::CutPlan;

impl CutPlan {
    /// Whether the open segment is to end at `edge`, between two keyframes.
    ///
    /// A GOP like the one before is cut into pieces of one length, so that the next keyframe ends the last of them:
    /// cut as late as possible, a GOP of 4.2 s would leave 0.2 s, too little for a segment, and its keyframe would lie
    /// inside the next one.
    pub(super) fn outgrows(&self, start: i64, edge: i64) -> bool {
        let length = edge - start;
        let longest = self.grid.longest_gop_segment();
        if length + self.grid.part_target > longest {
            return true;
        }
        let (Some(key), Some(gop)) = (self.last_key, self.gop) else { return false };
        let rest = key + gop - start;
        // The keyframe comes in time, or is late already.
        if rest <= longest || rest <= length {
            return false;
        }
        let pieces = (rest + longest - 1) / longest;
        length + self.grid.step / 2 >= rest / pieces
    }
}
