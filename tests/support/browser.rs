//! A real browser: headless Chromium, driven by the DevTools protocol over a pipe.
//!
//! The protocol is JSON, a message ends with a zero octet, and Chromium reads from descriptor 3 and
//! writes to 4. A shell puts our pipes there: no driver and no library is needed, and no port.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "each test binary uses its part")]

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::server::{self, installed, skip};

/// How long anything may take before a test gives up on it.
const PATIENCE: Duration = Duration::from_secs(30);

const CHROMIUM: &str = "chromium";

/// What makes Chromium alike everywhere, and silent: no name but the loopback's address is looked
/// up, and in a container, as root, its sandbox cannot be.
const ARGUMENTS: [&str; 12] = [
    "--headless",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--lang=en-GB",
    "--hide-scrollbars",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
];

//----------- Look -----------------------------------------------------------

/// How a page is looked at.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub width: u32,
    pub height: u32,
    pub scheme: &'static str,
}

/// A large screen.
pub const DESKTOP: Look = Look { width: 1280, height: 900, scheme: "light" };

/// A small phone.
pub const PHONE: Look = Look { width: 360, height: 740, scheme: "light" };

impl Look {
    pub fn dark(self) -> Self {
        Look { scheme: "dark", ..self }
    }
}

//----------- Browser --------------------------------------------------------

/// A browser with one page; it ends when this is dropped.
pub struct Browser {
    child: Child,
    input: ChildStdin,
    messages: Receiver<Value>,
    events: Vec<Value>,
    session: Option<String>,
    last_id: u64,

    /// Its profile.
    _folder: tempfile::TempDir,
}

impl Browser {
    /// Opens a page; nothing where there is no browser.
    pub fn open(url: &str, look: Look) -> Option<Self> {
        if !installed(CHROMIUM) {
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", "sh", CHROMIUM])
            .args(ARGUMENTS)
            .arg(format!("--user-data-dir={}", folder.path().display()))
            .arg("about:blank")
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let (sender, messages) = mpsc::channel();
        std::thread::spawn(move || {
            let texts = output.split(0).map_while(Result::ok);
            let values = texts.filter_map(|text| serde_json::from_slice(&text).ok());
            // Whoever listened may have gone.
            values.for_each(|value: Value| drop(sender.send(value)));
        });
        let (events, session, last_id) = (Vec::new(), None, 0);
        let mut browser =
            Browser { child, input, messages, events, session, last_id, _folder: folder };
        browser.attach();
        browser.look(look);
        browser.call("Page.navigate", json!({ "url": url }));
        Some(browser)
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let target = json!({ "targetId": target["targetId"], "flatten": true });
        let session = self.call("Target.attachToTarget", target);
        self.session = Some(session["sessionId"].as_str().unwrap().to_owned());
        for domain in ["Runtime", "Log", "Network", "Page"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
    }

    /// Looks at the page in another way.
    pub fn look(&mut self, look: Look) {
        let Look { width, height, scheme } = look;
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.call("Emulation.setDeviceMetricsOverride", size);
        let features = json!([
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ]);
        self.call("Emulation.setEmulatedMedia", json!({ "features": features }));
    }

    /// Calls a method of the protocol, and returns its result.
    pub fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.last_id += 1;
        let mut message = json!({ "id": self.last_id, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let mut message = self
                .messages
                .recv_timeout(left)
                .unwrap_or_else(|error| panic!("{CHROMIUM} does not answer {method}: {error}"));
            if message["id"] == self.last_id {
                assert!(message.get("error").is_none(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// Evaluates an expression in the page.
    pub fn evaluate(&mut self, expression: &str) -> Value {
        let parameters =
            json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", parameters);
        assert!(result.get("exceptionDetails").is_none(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// Evaluates an expression to a text.
    pub fn text(&mut self, expression: &str) -> String {
        self.evaluate(&format!("String({expression})")).as_str().unwrap().to_owned()
    }

    /// Waits until an expression holds.
    pub fn wait_for(&mut self, condition: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.evaluate(&format!("Boolean({condition})")) != json!(true) {
            if Instant::now() > deadline {
                let text = self.text("document.body.innerText");
                panic!("in vain waited for {condition}; {:?}; page:\n{text}", self.complaints());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Presses a key, such as `Tab` or `Enter`.
    pub fn press(&mut self, key: &str) {
        let code = match key {
            "Tab" => 9,
            "Enter" => 13,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            key => panic!("no code for {key}"),
        };
        let mut event = json!({
            "type": "keyDown", "key": key, "code": key, "windowsVirtualKeyCode": code,
        });
        if key == "Enter" {
            event["text"] = json!("\r");
        }
        self.call("Input.dispatchKeyEvent", event.clone());
        event["type"] = json!("keyUp");
        self.call("Input.dispatchKeyEvent", event);
    }

    /// Types into what has the focus.
    pub fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Clicks in the middle of an element.
    pub fn click(&mut self, selector: &str) {
        let place = format!(
            "(() => {{ const element = document.querySelector({selector:?}); \
             element.scrollIntoView({{ block: 'center' }}); \
             const box = element.getBoundingClientRect(); \
             return [box.x + box.width / 2, box.y + box.height / 2]; }})()"
        );
        let place = self.evaluate(&place);
        for kind in ["mouseMoved", "mousePressed", "mouseReleased"] {
            let button = if kind == "mouseMoved" { "none" } else { "left" };
            let (x, y) = (&place[0], &place[1]);
            let event = json!({ "type": kind, "x": x, "y": y, "button": button, "clickCount": 1 });
            self.call("Input.dispatchMouseEvent", event);
        }
    }

    /// The addresses of everything that was asked for so far.
    pub fn requests(&mut self) -> Vec<String> {
        self.evaluate("0");
        let sent =
            self.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
        sent.map(|event| event["params"]["request"]["url"].as_str().unwrap().to_owned()).collect()
    }

    /// What the console and the log complained of so far.
    pub fn complaints(&self) -> Vec<String> {
        let is_complaint = |event: &&Value| match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => true,
            Some("Runtime.consoleAPICalled") => {
                ["error", "warning", "assert"].iter().any(|kind| event["params"]["type"] == *kind)
            }
            Some("Log.entryAdded") => {
                ["error", "warning"].iter().any(|kind| event["params"]["entry"]["level"] == *kind)
            }
            _ => false,
        };
        self.events.iter().filter(is_complaint).map(|event| event["params"].to_string()).collect()
    }

    /// Takes a picture of the whole page, or of its first so many rows of points.
    pub fn picture(&mut self, look: Look, height: Option<u32>, path: &Path) {
        let full = self.evaluate("document.documentElement.scrollHeight");
        let height = height.map_or(full, |height| json!(height));
        let clip = json!({ "x": 0, "y": 0, "width": look.width, "height": height, "scale": 1 });
        let parameters = json!({ "format": "png", "captureBeyondViewport": true, "clip": clip });
        let picture = self.call("Page.captureScreenshot", parameters);
        let octets = BASE64.decode(picture["data"].as_str().unwrap().as_bytes()).unwrap();
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, octets).unwrap();
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Chromium ends with its processes when it is told to; what is left is ended.
        let close = json!({ "id": self.last_id + 1, "method": "Browser.close" });
        let _ = self.input.write_all(format!("{close}\0").as_bytes());
        server::end(&mut self.child, Duration::from_secs(5));
    }
}

/// The source of axe-core, which `.ci/run` fetches; nothing where it has not.
pub fn axe() -> Option<String> {
    let path = server::project().join("target/axe.min.js");
    let source = std::fs::read_to_string(&path).ok();
    if source.is_none() {
        skip("target/axe.min.js (axe-core) is not there: .ci/run fetches it");
    }
    source
}
