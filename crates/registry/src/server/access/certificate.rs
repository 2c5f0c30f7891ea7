//! As much of X.509 as the keys of token services take: who a certificate's key is, and when it is good.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// RFC 3279 2.3.1 and 2.3.5, RFC 5480 2.1.1.1, RFC 8410 3; each with tag and length.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";
const EC: &[u8] = b"\x06\x07\x2a\x86\x48\xce\x3d\x02\x01";
const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";

/// A value of DER (X.690), and what follows it.
struct Der<'a> {
    tag: u8,
    content: &'a [u8],
    whole: &'a [u8],
    rest: &'a [u8],
}

fn der(bytes: &[u8]) -> Option<Der<'_>> {
    let (&tag, after) = bytes.split_first()?;
    let (&first, mut after) = after.split_first()?;
    let mut length = usize::from(first);
    if first >= 0x80 {
        let count = usize::from(first & 0x7f);
        // Four bytes of length are more than any certificate has.
        if !(1..=4).contains(&count) {
            return None;
        }
        let (digits, rest) = after.split_at_checked(count)?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        after = rest;
    }
    let (content, rest) = after.split_at_checked(length)?;
    Some(Der { tag, content, whole: bytes.get(..bytes.len() - rest.len())?, rest })
}

fn tagged(bytes: &[u8], tag: u8) -> Option<Der<'_>> {
    der(bytes).filter(|value| value.tag == tag)
}

/// What is read of a certificate.
pub(super) struct Certificate {
    /// From and to when, as `YYYYMMDDHHMMSSZ`.
    validity: [String; 2],
    pub(super) key: PublicKey,
}

/// A key as tokens are signed with.
pub(super) struct PublicKey {
    pub(super) decoding: DecodingKey,
    /// The names under which a token may speak of it: distribution's of version 2, and that of RFC 7638, of version 3.
    pub(super) ids: [String; 2],
}

impl Certificate {
    /// Reads DER; `None` where it is none, or its key is of a kind that no token is signed with.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let to_be_signed = tagged(tagged(bytes, SEQUENCE)?.content, SEQUENCE)?.content;
        let first = der(to_be_signed)?;
        let serial = if first.tag == VERSION { tagged(first.rest, INTEGER)? } else { first };
        let algorithm = tagged(serial.rest, SEQUENCE)?;
        let issuer = tagged(algorithm.rest, SEQUENCE)?;
        let validity = tagged(issuer.rest, SEQUENCE)?;
        let subject = tagged(validity.rest, SEQUENCE)?;
        let key = PublicKey::parse(tagged(subject.rest, SEQUENCE)?.whole)?;
        let from = der(validity.content)?;
        let validity = [time(&from)?, time(&der(from.rest)?)?];
        Some(Self { validity, key })
    }

    /// Whether it is good at a time, given as `YYYYMMDDHHMMSSZ`.
    pub(super) fn is_good(&self, at: &str) -> bool {
        let [from, to] = &self.validity;
        (from.as_str()..=to.as_str()).contains(&at)
    }
}

/// RFC 5280 4.1.2.5: years of two digits are those from 1950 to 2049.
fn time(value: &Der<'_>) -> Option<String> {
    let text = std::str::from_utf8(value.content).ok()?;
    match value.tag {
        UTC_TIME if text.len() == 13 => Some(format!("{}{text}", if text < "50" { "20" } else { "19" })),
        GENERALIZED_TIME if text.len() == 15 => Some(text.to_owned()),
        _ => None,
    }
}

impl PublicKey {
    /// From a SubjectPublicKeyInfo.
    fn parse(info: &[u8]) -> Option<Self> {
        let algorithm = tagged(tagged(info, SEQUENCE)?.content, SEQUENCE)?;
        let bits = tagged(algorithm.rest, BIT_STRING)?.content.strip_prefix(&[0])?;
        let (decoding, described) = if algorithm.content.starts_with(RSA) {
            let numbers = tagged(bits, SEQUENCE)?.content;
            let modulus = tagged(numbers, INTEGER)?;
            let exponent = tagged(modulus.rest, INTEGER)?;
            let [n, e] =
                [modulus.content, exponent.content].map(|number| number.strip_prefix(&[0]).unwrap_or(number));
            let described = format!(r#"{{"e":"{}","kty":"RSA","n":"{}"}}"#, text(e), text(n));
            (DecodingKey::from_rsa_raw_components(n, e), described)
        } else if let Some(curve) = algorithm.content.strip_prefix(EC) {
            let name = match curve {
                P256 => "P-256",
                P384 => "P-384",
                _ => return None,
            };
            let point = bits.strip_prefix(&[4])?;
            let (x, y) = point.split_at_checked(point.len() / 2)?;
            let described = format!(r#"{{"crv":"{name}","kty":"EC","x":"{}","y":"{}"}}"#, text(x), text(y));
            (DecodingKey::from_ec_der(bits), described)
        } else if algorithm.content == ED25519 {
            (
                DecodingKey::from_ed_der(bits),
                format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{}"}}"#, text(bits)),
            )
        } else {
            return None;
        };
        let thumbprint = text(digest(&SHA256, described.as_bytes()).as_ref());
        Some(Self { decoding, ids: [libtrust(info), thumbprint] })
    }
}

fn text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The first 240 bits of the key's digest in base32, in groups of four (`ABCD:EFGH:...`), as libtrust names keys.
fn libtrust(info: &[u8]) -> String {
    const DIGITS: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let hash = digest(&SHA256, info);
    let mut id = String::new();
    for (at, five) in hash.as_ref()[..30].chunks(5).enumerate() {
        let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
        for digit in 0..8 {
            if digit % 4 == 0 && (at, digit) != (0, 0) {
                id.push(':');
            }
            id.push(char::from(DIGITS[(bits >> (35 - 5 * digit) & 31) as usize]));
        }
    }
    id
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    /// Certificates of OpenSSL's; the names were computed from its own print of the keys. RSA, P-256, Ed25519.
    const KNOWN: [(&str, [&str; 2], [&str; 2]); 3] = [
        (
            "MIIC/zCCAeegAwIBAgIUA7pyX/9KyPzijrJgmNAv6Y/xMBYwDQYJKoZIhvcNAQELBQAwDjEMMAoGA1UEAwwDcnNhMCAXDTI2MTEyMTIw\
             MjA1NVoYDzIxMjYxMDI4MjAyMDU1WjAOMQwwCgYDVQQDDANyc2EwggEiMA0GCSqGSIb3DQEBAQUAA4IBDwAwggEKAoIBAQC8gvDo8Ik0\
             Qs28qFAnNH1DSYIzl+UZCq3C0UdbOYdJVRXD1/Ky7sR4mZo2W9jKdEZNc3krW9P1zaF7rQUQLu+jDBYU31Y0UuR1N+OF7Y0VE/bvINOM\
             fkOF9eoi1nu5T5CtichQf6HSLG+7Vo45yhgzbVQjDoa0uJcUqMf7qBvqcIu9mtbP2ErVGqPjT6qVj12OoxwkYnygbIvbvDQwMfMzf7Qe\
             5RFk8eqUWFNbOaFj5e5djx58P1oBth0nuDJGz5P0NYCxP5H2nhXw+Fwej4BZmRCS5oJal62s4mOAktA+SugEziANNIhmWF/+MHQkuv2Q\
             TEwmDVpy+gmT0a2oCBTjAgMBAAGjUzBRMB0GA1UdDgQWBBTY6TaCzNgPESS335Po1JrzHyizHzAfBgNVHSMEGDAWgBTY6TaCzNgPESS3\
             35Po1JrzHyizHzAPBgNVHRMBAf8EBTADAQH/MA0GCSqGSIb3DQEBCwUAA4IBAQCgPpgfgNYgDua0A/xsd2qnkn9ULaPzbUKZ2Y2Fp8f+\
             LelipD+IIsCRH60UaF6P5Zbt/4bTv2JM/FSalENAp3TWoTI6/w5zhYPB1+29uR3mz7MFHaTnFV4lYtz8R0Q2RTeEzgQC++g9EvXz8d87\
             XbJEQ/L3SzqaMdykqG1Oqgo32LseQ8QcgSGWA7PGuazLTtpXy+6EfEJo4TdXArn28gQaXxvY3hQq4CgmUQPrOmBuFKDt13Za6I0wlvZM\
             HwL/mNKuHuDrzwUAxXM7RNK4EBHZlynru9LTDdnTxkRExKHISYffUVJIX39GEbEMTQAzzZyarCO/NddpCeOoo/qqWOLG",
            [
                "FGUS:UK6S:QTZH:VTCP:MWSQ:QWVN:UCEI:GMUB:UKZU:LMID:4GY3:SZRL",
                "y0i1IwqVkvO1mUi616I6YTfaJTZdgW2Y4ko3YBE3zgQ",
            ],
            ["20261121202055Z", "21261028202055Z"],
        ),
        (
            "MIIBcjCCARegAwIBAgIUKG/gjUFmZQ4NquQFqtSwEqvgz1EwCgYIKoZIzj0EAwIwDTELMAkGA1UEAwwCZWMwIBcNMjYxMTIxMjAyMDU1\
             WhgPMjEyNjEwMjgyMDIwNTVaMA0xCzAJBgNVBAMMAmVjMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEvQAbgP6psnNBqUD46tbUXDpQ\
             sxQI0Z8KRjHFlIVtXPyS5w8Co036YhYECPIiEBB5a0DVsA2KZADJQ0m1qq3+F6NTMFEwHQYDVR0OBBYEFMa1gH/aLpDUENkNm+gpk/cK\
             7MyhMB8GA1UdIwQYMBaAFMa1gH/aLpDUENkNm+gpk/cK7MyhMA8GA1UdEwEB/wQFMAMBAf8wCgYIKoZIzj0EAwIDSQAwRgIhAOsahsJq\
             zpUCuBbHvF4rq/KpYBiYW8e/KQPxAmu/S4goAiEA88CXrEkw8NW3ZCcOw73GqDVmkk9lX6rfjo4mMUN6I1I=",
            [
                "U3L2:YZRH:6RWA:HR3E:767V:VYZH:FHHJ:B7HC:NKIG:WZUD:YHSB:L7NH",
                "xtx6DHv0hVnarhavHPSM4nc12QhRq8yKowbXdO9XUeM",
            ],
            ["20261121202055Z", "21261028202055Z"],
        ),
        (
            "MIIBLjCB4aADAgECAhRuJWiufFlTcQLQ92MHIPPlsCmKljAFBgMrZXAwDTELMAkGA1UEAwwCZWQwHhcNMjYxMTIxMjAyMDU1WhcNMzYx\
             MTE4MjAyMDU1WjANMQswCQYDVQQDDAJlZDAqMAUGAytlcAMhAGa0T2qkhH5AUkgonTGiHWVG3aKSPf/s3sVCxVPdtsOno1MwUTAdBgNV\
             HQ4EFgQUWNG/eS5aOrSugd7oSObHmjEv95owHwYDVR0jBBgwFoAUWNG/eS5aOrSugd7oSObHmjEv95owDwYDVR0TAQH/BAUwAwEB/zAF\
             BgMrZXADQQBUVdMJDJXlmJmea8pZ4NOlaBN/dsmcgfbqn5quOTli0+D0KSfEPoukW5vfafjDcbhWD4rlWafx6fuczK+u3MoM",
            [
                "JBST:YFFH:ET5Y:CNW5:D4SK:SHHC:2DZ2:CDI7:AXBV:G7ND:4TSG:AXNV",
                "5VHpq9Aa2t6teHTk548JX8LEa53yWTU97cawSoU7LXY",
            ],
            ["20261121202055Z", "20361118202055Z"],
        ),
    ];

    #[test]
    fn a_certificate_says_when_it_is_good_and_by_which_names_its_key_goes() {
        for (text, ids, validity) in KNOWN {
            let certificate = Certificate::parse(&STANDARD.decode(text).unwrap()).unwrap();
            assert_eq!(certificate.key.ids, ids);
            assert_eq!(certificate.validity, validity);
            assert!(certificate.is_good("20270101000000Z"));
            assert!(!certificate.is_good("20261121202054Z") && !certificate.is_good("21270101000000Z"));
        }
    }

    #[test]
    fn bytes_that_are_cut_or_changed_do_no_harm() {
        for (text, ..) in KNOWN {
            let whole = STANDARD.decode(text).unwrap();
            for length in 0..whole.len() {
                assert!(Certificate::parse(&whole[..length]).is_none());
                for change in [0x01, 0x80, 0xff] {
                    let mut other = whole.clone();
                    other[length] ^= change;
                    let _whatever = Certificate::parse(&other);
                }
            }
        }
    }
}
