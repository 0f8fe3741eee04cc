use std::io::Write as _;

use clap::FromArgMatches as _;

use super::*;
use crate::settings::{Settings, WebOrigin};

/// The settings that these flags, variables and lines of a file make, or everything that is wrong with them.
fn read_from(flags: &[&str], variables: &[(&str, &str)], file: Option<&str>) -> Result<Settings, String> {
    read_for("standalone", flags, variables, file)
}

/// The same for one role.
fn read_for(
    role: &str,
    flags: &[&str],
    variables: &[(&str, &str)],
    file: Option<&str>,
) -> Result<Settings, String> {
    let mut on_disk = tempfile::Builder::new().prefix("caudal.").suffix(".conf").tempfile().unwrap();
    let mut arguments: Vec<OsString> = ["caudal", role].iter().chain(flags).map(OsString::from).collect();
    if let Some(text) = file {
        on_disk.write_all(text.as_bytes()).unwrap();
        let mut flag = OsString::from("--config=");
        flag.push(on_disk.path());
        arguments.push(flag);
    }
    let variable =
        |name: &str| variables.iter().find(|(of, _)| *of == name).map(|(_, value)| OsString::from(value));
    match read(&crate::command(), &arguments, variable) {
        Ok((matches, _)) => Ok(Settings::from_arg_matches(matches.subcommand().unwrap().1).unwrap()),
        Err(Refused::Values { faults, .. }) => {
            Err(faults.to_string().replace(on_disk.path().to_str().unwrap(), "FILE"))
        }
        Err(Refused::CommandLine(error)) => panic!("{error}"),
    }
}

#[test]
fn flags_come_before_variables_before_the_file_before_defaults() {
    let settings = read_from(
        &["--port", "5000"],
        &[("PORT", "5001"), ("HLS_PORT", "5002")],
        Some("PORT = 5003\nHLS_PORT = 5004\nRTMP_PORT = 5005\nCAUDAL_RECONNECT_WINDOW = 1m\n"),
    )
    .unwrap();
    assert_eq!(
        (settings.port, settings.hls_port, settings.rtmp_port, settings.admin_port),
        (5000, 5002, 5005, 9090)
    );
    assert_eq!(settings.reconnect_window.0.as_secs(), 60);
}

#[test]
fn a_list_is_given_in_one_flag_or_in_several() {
    for flags in
        [&["--cors-origins=http://a,http://b"][..], &["--cors-origins=http://a", "--cors-origins=http://b"]]
    {
        let settings = read_from(flags, &[], None).unwrap();
        assert_eq!(
            settings.cors_origins.iter().map(WebOrigin::as_str).collect::<Vec<_>>(),
            ["http://a", "http://b"]
        );
    }
}

#[test]
fn an_empty_value_is_as_good_as_none_and_spaces_around_one_mean_nothing() {
    let settings = read_from(
        &[],
        &[("PORT", ""), ("HLS_PORT", " 5002\r\n"), ("CAUDAL_TLS_CERT", " ")],
        Some("RTMP_PORT =\n"),
    );
    let settings = settings.unwrap();
    assert_eq!((settings.port, settings.hls_port, settings.rtmp_port), (3000, 5002, 1935));
    assert_eq!(settings.tls_cert, None);
    assert_eq!(
        read_from(&["--port="], &[], None).unwrap_err(),
        r#"--port is "": expected a port from 0 to 65535, as in 3000"#
    );
}

#[test]
fn every_fault_is_said_at_once_and_each_as_whoever_made_it_wrote_the_name() {
    let faults = read_from(
        &["--port", "http"],
        &[("CAUDAL_RECONNECT_WINDOW", "abc"), ("CAUDAL_MAX_STREAMS", "0")],
        Some("\nLOG_LEVEL = loud\nPROT = 1\nJWT_SECRET = hunter2hunter2\nHLS_PORT = 70000\nHLS_PORT = 1\n"),
    )
    .unwrap_err();
    let lines: Vec<&str> = faults.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "8 settings cannot be used:",
            "FILE, line 3: there is no setting PROT; did you mean PORT? `caudal standalone --help` lists them",
            "FILE, line 4: JWT_SECRET is a secret; set it by the variable JWT_SECRET or JWT_SECRET_FILE",
            "FILE, line 6: HLS_PORT is there a second time",
            r#"--port is "http": expected a port from 0 to 65535, as in 3000"#,
            r#"HLS_PORT (FILE, line 5) is "70000": expected a port from 0 to 65535, as in 3000"#,
            r#"CAUDAL_MAX_STREAMS is "0": expected a number from 1 to 1000"#,
            r#"CAUDAL_RECONNECT_WINDOW is "abc": expected a number and a unit (s, m, h or d), as in 30s or 7d"#,
            r#"LOG_LEVEL (FILE, line 2) is "loud": "loud" is no level; expected error, warn, info, debug, trace or off, or directives as in info,caudal_hls_edge=debug"#,
        ]
    );
}

#[test]
fn a_value_that_cannot_work_is_refused_with_what_is_expected() {
    for (name, values, expected) in [
        ("CAUDAL_BIND", &["localhost", "1.2.3", "0.0.0.0:3000"][..], "expected an address"),
        ("PORT", &["-1", "65536", "3000.5", "0x10", "３０００"], "expected a port"),
        ("CAUDAL_MAX_STREAMS", &["0", "-1", "1001", "many"], "expected a number from 1 to 1000"),
        ("CAUDAL_MAX_CONNECTIONS_PER_ADDRESS", &["0", "1000001"], "expected a number from 1 to 1000000"),
        ("CAUDAL_REQUESTS_PER_MINUTE", &["0", "4294967296"], "expected a number from 1 to 1000000"),
        (
            "CAUDAL_MAX_BITRATE",
            &["0", "0M", "50", "fast", "9999999999999999999M"],
            "expected bits a second between",
        ),
        ("CAUDAL_RECONNECT_WINDOW", &["30", "100y", "1.5h", "-1s"], "expected a number and a unit"),
        ("CAUDAL_RECONNECT_WINDOW", &["0s"], "expected more than nothing"),
        ("CAUDAL_RECONNECT_WINDOW", &["2d", "48h"], "expected at most 1d"),
        ("JWT_EXPIRES_IN", &["0s", "0d"], "expected more than nothing"),
        ("JWT_EXPIRES_IN", &["31d"], "expected at most 30d"),
        ("JWT_REFRESH_EXPIRES_IN", &["3651d", "99999999999999999999s"], "expected"),
        (
            "CAUDAL_PUBLIC_API_URL",
            &["example.org", "ftp://a", "https://a/app", "https://a?x", "https://"],
            "as in https://example.org",
        ),
        ("CAUDAL_PUBLIC_HLS_URL", &["//a", "https://a#x", "https://a?token=1"], "as in https://example.org"),
        (
            "CAUDAL_PUBLIC_RTMP_URL",
            &["http://a/live", "rtmp://a", "rtmp://a/live?key=1"],
            "as in rtmp://example.org/live",
        ),
        ("CAUDAL_RTMP_PROBE_URL", &["off", "http://a/live", "rtmp://a"], "as in rtmp://example.org/live"),
        (
            "CAUDAL_CORS_ORIGINS",
            &["*", "https://a,b", "https://a/x", "https://a,"],
            "as in https://example.org:3000",
        ),
        ("CAUDAL_TRUSTED_PROXIES", &["proxy", "10.0.0.0/33", "10.0.0/8", "10.0.0.0-10.0.0.9"], "10.0.0.0/8"),
        ("CAUDAL_SOCKET_IO_POLLING", &["yes", "ON "], "expected one of auto, on, off"),
        ("CAUDAL_WEBHOOK_HOSTS", &["bot.lan", "http://bot.lan:80", "bot.lan:80,"], "as in bot.lan:8080"),
        ("CAUDAL_SECOND_PUBLISHER", &["refuse", "Takeover "], "expected one of reject, takeover"),
        (
            "CAUDAL_LADDER",
            &["1080p", "auto,720p", "720p,", "low"],
            "expected auto, none, or a list of 720p, 480p, 360p",
        ),
        ("AWS_S3_BUCKET", &["s3://streams", "a", "my bucket"], "expected the name of a bucket alone"),
        ("AWS_REGION", &["us east 1"], "as in us-east-1"),
        ("AWS_ENDPOINT_URL", &["localhost:9000"], "as in https://example.org"),
        ("LOG_LEVEL", &["loud", "info,", "caudal=loud"], "expected error, warn, info"),
        ("LOG_FORMAT", &["xml", "JSON5"], "expected one of text, json"),
    ] {
        for value in values {
            let fault = read_from(&[], &[(name, value)], None).expect_err(value);
            assert!(
                fault.starts_with(&format!("{name} is ")) && fault.contains(expected),
                "{value}: {fault}"
            );
        }
    }
}

#[test]
fn a_setting_of_another_role_is_refused_by_flag_and_in_the_file_and_all_of_them_at_once() {
    let faults = read_for(
        "hls-edge",
        &["--rtmp-port=x", "--hls-port=y"],
        &[],
        Some("PORT = 3000\nHLS_PATH = /srv/media\nNEITHER = 1\n"),
    );
    let faults = faults.unwrap_err();
    let lines: Vec<&str> = faults.lines().map(str::trim).collect();
    assert_eq!(
        lines,
        [
            "4 settings cannot be used:",
            "--rtmp-port is a setting of standalone and ingest-router, not of hls-edge; `caudal hls-edge --help` lists those",
            "FILE, line 1: PORT is a setting of standalone and api, not of hls-edge; `caudal hls-edge --help` lists those",
            "FILE, line 3: there is no setting NEITHER; `caudal hls-edge --help` lists them",
            r#"--hls-port is "y": expected a port from 0 to 65535, as in 3000"#,
        ]
    );
}

#[test]
fn roles_share_an_environment_and_each_takes_what_is_its_own() {
    let environment = [("PORT", "no port"), ("HLS_PORT", "5002"), ("CAUDAL_MAX_BITRATE", "fast")];
    let settings = read_for("hls-edge", &[], &environment, None).unwrap();
    assert_eq!((settings.hls_port, settings.port), (5002, 3000));
    assert!(read_for("ingest-router", &[], &environment, None).unwrap_err().contains("CAUDAL_MAX_BITRATE"));
}

#[test]
fn the_help_of_a_role_shows_its_own_settings_alone() {
    for (role, own, others) in [
        (
            "api",
            &["--port", "--cors-origins", "[required]"][..],
            &["--hls-port", "--rtmp-port", "--data-dir"][..],
        ),
        (
            "ingest-router",
            &["--rtmp-port", "--internal-api-url"],
            &["--port ", "--hls-port", "--jwt-expires-in"],
        ),
        ("hls-edge", &["--hls-port", "--hls-path", "required unless"], &["--rtmp-port", "--internal-port"]),
        ("controller", &["--data-dir", "--max-streams", "--ffmpeg"], &["--hls-port", "--bind", "--tls-cert"]),
        ("standalone", &["--hls-port", "--data-dir"], &["--internal-bind", "--internal-api-url"]),
    ] {
        let arguments = ["caudal", role, "--help"].map(OsString::from);
        let Err(Refused::CommandLine(help)) = read(&crate::command(), &arguments, |_| None) else {
            panic!("no help")
        };
        let help = help.to_string();
        for shown in own {
            assert!(help.contains(shown), "{role}: {shown} is not in {help}");
        }
        for hidden in others {
            assert!(!help.contains(hidden), "{role}: {hidden} is in {help}");
        }
    }
}

#[test]
fn a_password_in_a_url_and_the_end_of_a_long_value_are_not_shown() {
    let fault =
        read_from(&[], &[("CAUDAL_PUBLIC_API_URL", "https://me:hunter2@a.example")], None).unwrap_err();
    assert!(fault.contains("https://***@a.example") && !fault.contains("hunter2"), "{fault}");
    let long = read_from(&[], &[("PORT", &"9".repeat(5000))], None).unwrap_err();
    assert!(long.len() < 300, "{long}");
}

#[test]
fn a_variable_of_any_bytes_is_refused_or_a_path() {
    use std::os::unix::ffi::OsStringExt as _;
    let bytes = OsString::from_vec(b"/srv/\xff".to_vec());
    let arguments = [OsString::from("caudal"), "standalone".into()];
    let (_, given) =
        read(&crate::command(), &arguments, |name| (name == "CAUDAL_DATA_DIR").then(|| bytes.clone()))
            .unwrap();
    assert!(given.has("CAUDAL_DATA_DIR"));
    let refused = read(&crate::command(), &arguments, |name| (name == "PORT").then(|| bytes.clone()));
    assert!(matches!(refused, Err(Refused::Values { .. })));
}

#[test]
fn the_settings_file_of_the_documentation_works_as_it_is_printed() {
    let documentation = include_str!("../../../../docs/configuration.md");
    let example = documentation.split("```\n").nth(1).expect("an example of a settings file");
    assert!(example.contains("CAUDAL_BIND"), "{example}");
    read_from(&[], &[], Some(example)).unwrap();
}

#[test]
fn help_that_is_asked_for_beside_a_bad_value_is_given_and_shows_variables_and_defaults() {
    let arguments = ["caudal", "standalone", "--port", "x", "--help"].map(OsString::from);
    let Err(Refused::CommandLine(help)) = read(&crate::command(), &arguments, |_| None) else {
        panic!("no help")
    };
    let help = help.to_string();
    for part in [
        "[env: CAUDAL_PUBLIC_RTMP_URL]",
        "[default: rtmp://127.0.0.1:RTMP_PORT/live]",
        "[default: 3000]",
        "UTC",
    ] {
        assert!(help.contains(part), "{part} is not in {help}");
    }
}
