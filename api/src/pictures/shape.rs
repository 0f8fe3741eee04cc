//! How large the pictures of each kind are, and what of another shape is cut off.

use caudal_storage::PictureKind;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

impl Size {
    pub(crate) const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// The largest that a picture of this kind gets.
    pub(crate) const fn of(kind: PictureKind) -> Self {
        match kind {
            PictureKind::Avatar => Self::new(256, 256),
            PictureKind::Thumbnail => Self::new(1280, 720),
            PictureKind::Icon => Self::new(288, 384),
        }
    }

    /// A quarter turn.
    pub(crate) const fn turned(self) -> Self {
        Self::new(self.height, self.width)
    }

    /// What a picture becomes of which the middle is shown in the shape of `self`: `self`, or less where the picture has no
    /// more to show. Nothing is blown up, which only costs those who download it.
    pub(crate) fn filled_by(self, picture: Self) -> Self {
        if picture.width >= self.width && picture.height >= self.height {
            return self;
        }
        // The side that is relatively shorter decides.
        if ratio(picture.width, self.width) <= ratio(picture.height, self.height) {
            Self::new(picture.width, scaled(self.height, picture.width, self.width))
        } else {
            Self::new(scaled(self.width, picture.height, self.height), picture.height)
        }
    }
}

/// Parts in 2³².
fn ratio(part: u32, whole: u32) -> u64 {
    (u64::from(part) << 32).checked_div(u64::from(whole)).unwrap_or(0)
}

fn scaled(length: u32, by: u32, of: u32) -> u32 {
    let exact = u64::from(length).saturating_mul(u64::from(by)).checked_div(u64::from(of));
    exact.and_then(|length| u32::try_from(length).ok()).unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_fills_its_shape_and_is_never_blown_up() {
        let (avatar, thumbnail) = (Size::of(PictureKind::Avatar), Size::of(PictureKind::Thumbnail));
        for (shape, picture, filled) in [
            (avatar, (256, 256), (256, 256)),
            (avatar, (4032, 3024), (256, 256)),
            (avatar, (256, 9000), (256, 256)),
            (avatar, (100, 900), (100, 100)),
            (avatar, (900, 100), (100, 100)),
            (avatar, (1, 1), (1, 1)),
            (thumbnail, (1920, 1080), (1280, 720)),
            (thumbnail, (640, 640), (640, 360)),
            (thumbnail, (2000, 90), (160, 90)),
            (thumbnail, (1, 9000), (1, 1)),
            (thumbnail, (9000, 1), (1, 1)),
        ] {
            let filled = Size::new(filled.0, filled.1);
            assert_eq!(shape.filled_by(Size::new(picture.0, picture.1)), filled, "{shape:?} {picture:?}");
        }
    }
}
