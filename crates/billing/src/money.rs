//! Amounts. Never floating point.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// An amount in the smallest unit of its currency: 499 is 4.99 EUR, and 499 JPY.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Minor(pub i64);

impl Minor {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// What is left; the ends of the range where there is no such number.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// For people: `4.99 EUR`, `499 JPY`.
    pub fn in_words(self, currency: Currency) -> String {
        let digits = currency.digits();
        let text = format!("{:0>width$}", self.0.unsigned_abs(), width = digits + 1);
        let (whole, part) = text.split_at(text.len().saturating_sub(digits));
        let sign = if self.0 < 0 { "-" } else { "" };
        let point = if digits > 0 { "." } else { "" };
        format!("{sign}{whole}{point}{part} {currency}")
    }

    /// Both together; the ends of the range where there is no such number.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

/// An ISO 4217 code, in upper case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Currency([u8; 3]);

impl Currency {
    /// As people and PayPal write it.
    pub fn as_str(&self) -> &str {
        // Letters of ASCII alone, by `from_str`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// Digits behind the point, as Stripe and PayPal count (ISO 4217 but for currencies whose smallest unit nobody uses).
    fn digits(self) -> usize {
        match self.as_str() {
            "BIF" | "CLP" | "DJF" | "GNF" | "JPY" | "KMF" | "KRW" | "MGA" | "PYG" | "RWF" | "UGX" | "VND"
            | "VUV" | "XAF" | "XOF" | "XPF" => 0,
            "BHD" | "JOD" | "KWD" | "OMR" | "TND" => 3,
            _ => 2,
        }
    }

    /// As Stripe writes it.
    pub fn to_lowercase(self) -> String {
        self.as_str().to_ascii_lowercase()
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Currency {
    type Err = InvalidCurrency;

    fn from_str(word: &str) -> Result<Self, InvalidCurrency> {
        let upper = word.to_ascii_uppercase();
        let letters = <[u8; 3]>::try_from(upper.as_bytes()).map_err(|_| InvalidCurrency)?;
        if letters.iter().all(u8::is_ascii_uppercase) { Ok(Self(letters)) } else { Err(InvalidCurrency) }
    }
}

/// What is no currency's code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a currency is three letters, such as EUR")]
pub struct InvalidCurrency;

/// What the platform keeps of what viewers pay, in hundredths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fee(u16);

impl Fee {
    /// Nothing is kept.
    pub const NONE: Self = Self(0);

    /// Of so many percent.
    ///
    /// # Errors
    /// Above 100.
    pub fn of_percent(percent: u8) -> Result<Self, InvalidFee> {
        if percent > 100 { Err(InvalidFee) } else { Ok(Self(u16::from(percent) * 100)) }
    }

    /// In whole percent.
    pub fn percent(self) -> u8 {
        u8::try_from(self.0 / 100).unwrap_or(100)
    }

    /// The platform's part, rounded down: what cannot be divided is the streamer's.
    pub fn of(self, amount: Minor) -> Minor {
        let part = i128::from(amount.0) * i128::from(self.0) / 10_000;
        Minor(i64::try_from(part).unwrap_or(amount.0))
    }
}

/// More than all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a fee is at most 100 percent")]
pub struct InvalidFee;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_divided_is_the_streamer_s() {
        let fee = Fee::of_percent(20).unwrap();
        for (amount, part) in [(0, 0), (1, 0), (4, 0), (5, 1), (499, 99), (i64::MAX, i64::MAX / 5)] {
            assert_eq!(fee.of(Minor(amount)), Minor(part), "{amount}");
        }
        assert_eq!(Fee::of_percent(100).unwrap().of(Minor(499)), Minor(499));
        assert_eq!(Fee::of_percent(101), Err(InvalidFee));
    }

    #[test]
    fn amounts_are_read_in_the_currency_s_own_digits() {
        for (amount, currency, words) in [
            (499, "EUR", "4.99 EUR"),
            (5, "EUR", "0.05 EUR"),
            (-1_234, "USD", "-12.34 USD"),
            (499, "JPY", "499 JPY"),
            (1_500, "KWD", "1.500 KWD"),
        ] {
            assert_eq!(Minor(amount).in_words(currency.parse().unwrap()), words);
        }
    }

    #[test]
    fn a_currency_is_three_letters() {
        let euro: Currency = "eur".parse().unwrap();
        assert_eq!((euro.as_str(), euro.to_lowercase().as_str()), ("EUR", "eur"));
        for word in ["", "EU", "EURO", "€", "E1R", "eu\u{0301}"] {
            assert_eq!(word.parse::<Currency>(), Err(InvalidCurrency), "{word}");
        }
    }
}
