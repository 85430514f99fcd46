//! A token server for OAUTHBEARER: OAuth 2.0 client credentials, and the keys with which brokers check its tokens.
//!
//! Tokens are JWTs signed with ES256. The token server knows the client `svc` with the secret `token-secret`; the scope
//! `other-audience` makes it issue tokens that the broker must reject.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use lifecycle_processor::runtime::WallClock;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

/// How long a token is valid.
const TOKEN_SECONDS: i64 = 60;

pub(super) struct TokenServer {
    pub(super) url: String,
}

struct Keys {
    signing: EcdsaKeyPair,
    random: SystemRandom,
}

impl TokenServer {
    /// Starts the server; it runs until the process ends.
    pub(super) fn start() -> Self {
        let random = SystemRandom::new();
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let signing = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref(), &random).unwrap();
        let keys = Arc::new(Keys { signing, random });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let keys = Arc::clone(&keys);
                thread::spawn(move || keys.answer(&stream));
            }
        });
        Self { url }
    }
}

impl Keys {
    /// Answers one request. A client that closes its connection early gets no answer.
    fn answer(&self, stream: &TcpStream) -> Option<()> {
        let mut reader = BufReader::new(stream);
        let mut request = String::new();
        reader.read_line(&mut request).ok()?;
        let (mut authorization, mut length) = (String::new(), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).ok()?;
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "authorization" => value.clone_into(&mut authorization),
                "content-length" => length = value.parse().ok()?,
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).ok()?;
        let expected = format!("Basic {}", STANDARD.encode("svc:token-secret"));
        let (status, response) = if request.starts_with("GET /jwks ") {
            ("200 OK", self.public_keys())
        } else if authorization == expected {
            let audience = if String::from_utf8_lossy(&body).contains("other-audience") { "another" } else { "kafka" };
            let token = self.token(audience);
            let text = format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{TOKEN_SECONDS}}}"#);
            ("200 OK", text)
        } else {
            (
                "401 Unauthorized",
                r#"{"error":"invalid_client","error_description":"unknown client or secret"}"#.to_owned(),
            )
        };
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            response.len()
        );
        let mut stream = stream;
        stream.write_all(format!("{head}{response}").as_bytes()).ok()
    }

    fn public_keys(&self) -> String {
        // An uncompressed point: a tag byte, then both coordinates.
        let point = self.signing.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"1","alg":"ES256","use":"sig","x":"{x}","y":"{y}"}}]}}"#)
    }

    fn token(&self, audience: &str) -> String {
        let now = WallClock::start().now().wall.as_millis() / 1_000;
        let expires = now + TOKEN_SECONDS;
        let claims = format!(r#"{{"iss":"tests","sub":"svc","aud":"{audience}","iat":{now},"exp":{expires}}}"#);
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"1","typ":"JWT"}"#);
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature = self.signing.sign(&self.random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}
