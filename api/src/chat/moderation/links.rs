//! Addresses in messages, as people write them.

use unicode_normalization::UnicodeNormalization as _;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory as _};

/// Whether a text has what a reader could open: an address with a scheme, or a domain by itself. In doubt it is one, because
/// whoever asks does not want any; `fin.Ahora` and `3.5` are none.
pub(crate) fn has_link(text: &str) -> bool {
    let plain: String = text
        .nfkc()
        .filter(|character| character.general_category() != GeneralCategory::Format)
        .flat_map(char::to_lowercase)
        .map(|character| match character {
            '。' | '｡' | '․' | '‧' | '·' => '.',
            '∕' | '⁄' | '⧸' => '/',
            '։' | '׃' | '∶' | '꞉' | 'ː' => ':',
            _ => character,
        })
        .collect();
    has_scheme(&plain)
        || plain
            .split(|character: char| !(character.is_alphanumeric() || matches!(character, '.' | '-' | '_')))
            .any(|piece| is_domain(piece) || is_numeric_address(piece))
        || is_this_machine(&plain)
}

/// `scheme://` and something behind it.
fn has_scheme(text: &str) -> bool {
    text.match_indices("://").any(|(at, mark)| {
        let before = text.get(..at).unwrap_or_default();
        let behind = text.get(at.saturating_add(mark.len())..).unwrap_or_default();
        before.ends_with(|character: char| character.is_ascii_alphanumeric())
            && behind.starts_with(|character: char| character.is_alphanumeric() || character == '[')
    })
}

/// Two labels, the last of which is a top-level domain.
fn is_domain(piece: &str) -> bool {
    let piece = piece.trim_matches(['.', '-', '_']);
    // An ellipsis ends a sentence: what is behind it may be an address all the same.
    let mut labels = piece.rsplit('.').take_while(|label| !label.is_empty());
    let (Some(last), Some(_)) = (labels.next(), labels.next()) else { return false };
    is_top_level(last) || piece.starts_with("www.")
}

fn is_top_level(label: &str) -> bool {
    label.starts_with("xn--")
        || [GENERIC, COUNTRIES, INTERNATIONAL].iter().any(|list| list.split(' ').any(|known| known == label))
}

/// Four numbers, as nobody writes anything else; a version has a letter before them.
fn is_numeric_address(piece: &str) -> bool {
    let host = piece.trim_matches(['.', '-', '_']);
    let mut numbers = 0_usize;
    host.split('.').all(|part| {
        numbers = numbers.saturating_add(1);
        part.parse::<u8>().is_ok()
    }) && numbers == 4
}

/// `localhost` with a port or a path behind it: by itself it is a word.
fn is_this_machine(text: &str) -> bool {
    text.match_indices("localhost").any(|(at, name)| {
        let before = text.get(..at).unwrap_or_default();
        let behind = text.get(at.saturating_add(name.len())..).unwrap_or_default();
        let is_port = |behind: &str| behind.starts_with(|character: char| character.is_ascii_digit());
        !before.ends_with(char::is_alphanumeric)
            && (behind.strip_prefix(':').is_some_and(is_port)
                || behind.strip_prefix('/').is_some_and(|path| path.starts_with(char::is_alphanumeric)))
    })
}

/// Those that links in chats have; there are a thousand more that nobody meets.
const GENERIC: &str = "com net org edu gov mil int info biz name pro mobi app dev page web site online store shop blog news live \
    stream video tube games game bet casino porn xxx sex adult cam dating chat social link click download free win vip club fun top \
    xyz icu cyou buzz monster rest space website tech cloud host digital agency media studio design art music band film movie tv \
    radio fm gg io ai bio crypto eth nft money cash loan finance exchange trade market sale deals cheap gift gifts promo work jobs \
    life today world global center zone group team network email support help wiki zip mov lol wtf ninja rocks guru cool best one \
    cat lat arpa onion";
/// ISO 3166, and what is used besides.
const COUNTRIES: &str = "ac ad ae af ag ai al am ao aq ar as at au aw ax az ba bb bd be bf bg bh bi bj bm bn bo br bs bt bw by bz ca cc \
    cd cf cg ch ci ck cl cm cn co cr cu cv cw cx cy cz de dj dk dm do dz ec ee eg er es et eu fi fj fk fm fo fr ga gd ge gf gg gh gi gl \
    gm gn gp gq gr gs gt gu gw gy hk hm hn hr ht hu id ie il im in io iq ir is it je jm jo jp ke kg kh ki km kn kp kr kw ky kz la lb lc \
    li lk lr ls lt lu lv ly ma mc md me mg mh mk ml mm mn mo mp mq mr ms mt mu mv mw mx my mz na nc ne nf ng ni nl no np nr nu nz om pa \
    pe pf pg ph pk pl pm pn pr ps pt pw py qa re ro rs ru rw sa sb sc sd se sg sh si sk sl sm sn so sr ss st su sv sx sy sz tc td tf tg \
    th tj tk tl tm tn to tr tt tv tw tz ua ug uk us uy uz va vc ve vg vi vn vu wf ws ye yt za zm zw";
const INTERNATIONAL: &str = "рф бел укр срб мкд қаз 中国 中國 香港 台湾 台灣 公司 网络 网址 한국 भारत ไทย";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_can_be_opened_is_a_link_and_a_missing_space_is_none() {
        for link in [
            "https://example.com",
            "mira http://localhost:3000/x",
            "ftp://x",
            "HTTPS://EXAMPLE.COM",
            "example.com",
            "see example.com.",
            "(example.com/path?x=1)",
            "visita:example.com",
            "mail me@example.org",
            "www.anything.invalid",
            "discord.gg/abc",
            "t.me/x",
            "ｅｘａｍｐｌｅ．ｃｏｍ",
            "example。com",
            "exam\u{200d}ple.com",
            "пример.рф",
            "xn--e1afmkfd.xn--p1ai",
            "192.168.1.1:8080",
            "1.2.3.4/x",
            "http://[::1]/",
            "mira...example.com",
            "1.2.3.4",
            "(1.2.3.4).",
            "localhost:3000",
            "mira:localhost/x",
            "https:∕∕evil",
            "https:⁄⁄evil",
            "https:⧸⧸evil",
            "https∶//evil",
        ] {
            assert!(has_link(link), "{link}");
        }
        for none in [
            "",
            "hola",
            "fin.Ahora empieza",
            "3.5",
            "10.30",
            "v1.2.3.4",
            "1.2.3",
            "1.2.3.4.5",
            "1.2.3.400",
            "localhost",
            "en localhost: nada",
            "1/2 y ½",
            "a.m.",
            "etc...",
            "hola...que tal",
            "U.S.A.",
            "node.js",
            "¿qué?¡nada!",
            "://",
            "a :// b",
            "10:30",
            ".com",
            "yes/no",
        ] {
            assert!(!has_link(none), "{none}");
        }
    }

    proptest! {
        #[test]
        fn an_address_is_found_behind_and_before_whatever_is_no_part_of_it(
            before in "[ a-zñ,;:!?(]{0,20}",
            after in "[ ),;:!?/][ a-zñ,;:!?)]{0,20}",
        ) {
            let text = format!("{before} https://example.com{after}");
            prop_assert!(has_link(&text), "{}", text);
            let text = format!("{before} example.com{after}");
            prop_assert!(has_link(&text), "{}", text);
        }
    }
}
