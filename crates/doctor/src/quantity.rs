//! Amounts as Kubernetes writes them: `500m`, `2`, `64Mi`.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// Whether nothing of `hard` is left. An amount that cannot be read counts as room.
pub(crate) fn is_used_up(used: &Quantity, hard: &Quantity) -> bool {
    amount(used).zip(amount(hard)).is_some_and(|(used, hard)| used >= hard)
}

/// Close enough to compare.
fn amount(quantity: &Quantity) -> Option<f64> {
    let text = quantity.0.as_str();
    let digits =
        text.find(|c: char| c.is_ascii_alphabetic() && !matches!(c, 'e' | 'E')).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    // `1E` is an exa and `1e3` a thousand; nobody has a quota of exabytes.
    let number: f64 = number.parse().ok()?;
    let factor = match unit {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "Ki" => 1024.0,
        "Mi" => 1_048_576.0,
        "Gi" => 1_073_741_824.0,
        "Ti" => 1_099_511_627_776.0,
        "Pi" => 1_125_899_906_842_624.0,
        _ => return None,
    };
    Some(number * factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_in_different_units_are_compared() {
        let q = |text: &str| Quantity(text.to_owned());
        for (used, hard, full) in [
            ("10", "10", true),
            ("9", "10", false),
            ("500m", "1", false),
            ("1", "1000m", true),
            ("1Gi", "1024Mi", true),
            ("1G", "1Gi", false),
            ("2e3", "2k", true),
            ("what", "1", false),
            ("1", "", false),
        ] {
            assert_eq!(is_used_up(&q(used), &q(hard)), full, "{used} of {hard}");
        }
    }
}
