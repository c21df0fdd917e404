//! The status page of the real binary, in a real browser.

#[path = "support/browser.rs"]
mod browser;
#[path = "support/server.rs"]
mod server;

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use browser::{Browser, DESKTOP, Look, PHONE};
use serde_json::{Value, json};
use server::{Server, example_in};

/// One browser at a time: each is many processes.
static TURN: Mutex<()> = Mutex::new(());

const NAME: &str = "_sip._tcp.carrier.example.com";

/// An endpoint of the example, and one that follows it in its row.
const ENDPOINT: &str = "sbc1.us-west.carrier.example.com";

/// Markup that would run if it were any.
const REASON: &str = "move <img src=x onerror=\"window.ran=1\"><script>window.ran=1</script>";

//----------- Site -----------------------------------------------------------

/// The shipped example, served, and its page in a browser.
struct Site {
    // Dropped in this order: the browser, the server, its folder.
    browser: Browser,
    server: Server,
    folder: tempfile::TempDir,
    http: SocketAddr,
    _turn: MutexGuard<'static, ()>,
}

impl Site {
    /// Opens the page, and waits until it shows everything.
    fn open(look: Look) -> Option<Self> {
        Self::open_changed(look, |_| ())
    }

    /// The same, with the example as changed in its folder.
    fn open_changed(look: Look, change: impl FnOnce(&Path)) -> Option<Self> {
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let (folder, http) = example();
        change(folder.path());
        let server = serve(folder.path());
        let browser = Browser::open(&format!("http://{http}/"), look)?;
        let mut site = Site { browser, server, folder, http, _turn: turn };
        site.browser
            .wait_for("document.querySelector('#map path') && document.querySelector('#table h3')");
        site.browser.wait_for("document.querySelector('#health').textContent === 'All is well'");
        Some(site)
    }

    /// Gives a command; returns exit code and output.
    fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let mut command = server::trunkdns();
        let output = command.args(arguments).current_dir(self.folder.path()).output().unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// Drains an endpoint for a reason.
    fn drain(&self, endpoint: &str, reason: &str) {
        let (code, text) = self.command(&["drain", endpoint, "--reason", reason]);
        assert_eq!(code, Some(0), "{text}");
    }

    /// Asks for the example's service from an address of the loopback, so many times.
    fn ask(&self, from: &str, times: usize) {
        let socket = UdpSocket::bind((from, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut query = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
        for label in NAME.split('.') {
            query.push(label.len() as u8);
            query.extend(label.as_bytes());
        }
        query.extend(b"\x00\x00\x21\x00\x01");
        for _ in 0..times {
            socket.send_to(&query, self.server.address).unwrap();
            socket.recv(&mut [0; 1500]).unwrap();
        }
    }

    /// Fails the test where anything was asked of anybody else, or the console complained.
    fn check(mut self) {
        let own = format!("http://{}/", self.http);
        let requests = self.browser.requests();
        assert!(requests.len() > 5, "{requests:?}");
        let strange: Vec<_> = requests.iter().filter(|url| !url.starts_with(&own)).collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert_eq!(self.browser.complaints(), Vec::<String>::new());
    }
}

/// Serves what is in a folder, from inside it: paths are short then.
fn serve(folder: &Path) -> Server {
    Server::start_with(Path::new("trunkdns.toml"), Stdio::inherit(), |command| {
        command.current_dir(folder);
    })
}

/// The shipped example in a folder, with the page on a port that was free a moment ago.
fn example() -> (tempfile::TempDir, SocketAddr) {
    let folder = tempfile::tempdir().unwrap();
    let config = example_in(folder.path(), "127.0.0.1:0");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.replace("\"127.0.0.1:0\"\n", &format!("\"{free}\"\n"))).unwrap();
    (folder, free)
}

//----------- Map and answers ------------------------------------------------

#[test]
fn each_country_has_the_colour_of_the_region_that_the_rules_place_it_in() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    let shown = site.browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#map path')].map(path => \
         [path.dataset.code, [path.dataset.region, getComputedStyle(path).fill]]))",
    );
    let legend = site.browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#legend button')].map(button => \
         [button.textContent, getComputedStyle(button.querySelector('.swatch')).backgroundColor]))",
    );
    let expected = [
        ("US", "us-east"),
        ("BR", "sa-east"),
        ("FR", "eu-west"),
        ("DE", "eu-central"),
        ("TN", "eu-central"),
        ("SA", "me-central"),
        ("ZA", "af-south"),
        ("KR", "ap-northeast"),
    ];
    for (code, region) in expected {
        assert_eq!(shown[code], json!([region, legend[region]]), "{code}");
    }
    let colours: std::collections::BTreeSet<_> =
        legend.as_object().unwrap().values().map(Value::to_string).collect();
    assert_eq!(colours.len(), 10, "every region has a colour of its own: {legend}");
    site.check();
}

#[test]
fn a_click_on_a_country_shows_its_answer_and_the_explanation_of_the_command() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    site.browser.click("#map path[data-code=BR]");
    site.browser.wait_for("document.querySelector('#answer pre')");
    let answer = site.browser.text("document.querySelector('#answer').innerText");
    for part in ["Brazil", "sa-east", "continent SA", "sbc1.sa-east:5060", "60 s"] {
        assert!(answer.contains(part), "no {part} in {answer}");
    }
    let from = site.browser.text("document.querySelector('#answer .facts .mono').textContent");
    let text = site.browser.text("document.querySelector('#answer pre').textContent");
    let (code, said) = site.command(&["explain", NAME, "SRV", "--from", &from]);
    assert_eq!(code, Some(0), "{said}");
    let stable = |text: &str| text.lines().skip(1).collect::<Vec<_>>().join("\n");
    assert!(text.contains("continent SA") && text.lines().count() > 5, "{text}");
    assert_eq!(stable(&text), stable(&said));
    let pressed = "document.querySelector('#map path[data-code=BR]').getAttribute('aria-pressed')";
    assert_eq!(site.browser.text(pressed), "true");
    site.check();
}

#[test]
fn an_address_and_a_subnet_are_explained_and_what_is_neither_is_refused() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    site.browser.evaluate("document.querySelector('#ask-from').focus()");
    site.browser.write("203.0.113.40");
    site.browser.press("Enter");
    site.browser.wait_for("document.querySelector('#answer')?.innerText.includes('us-west')");
    let answer = site.browser.text("document.querySelector('#answer').innerText");
    assert!(answer.contains("network 203.0.113.32/28"), "{answer}");
    assert!(answer.contains("regions.toml:"), "{answer}");
    let ask = |text: &str| {
        format!(
            "document.querySelector('#ask-from').value = '{text}'; \
             document.querySelector('#ask button').click()"
        )
    };
    site.browser.evaluate(&ask("203.0.113.64/28"));
    site.browser.wait_for("document.querySelector('#answer')?.innerText.includes('eu-west')");
    let answer = site.browser.text("document.querySelector('#answer').innerText");
    assert!(answer.contains("203.0.113.64/28 as a client subnet"), "{answer}");
    assert!(answer.contains("Good for"), "{answer}");
    site.browser.evaluate(&ask("<b>nobody</b>"));
    site.browser.wait_for("document.querySelector('#answer .error')");
    let error = site.browser.text("document.querySelector('#answer .error').textContent");
    assert!(error.contains("`<b>nobody</b>` is neither an address nor a prefix"), "{error}");
    assert_eq!(site.browser.text("document.querySelectorAll('#answer b').length"), "0");
    // The browser logs that a request was refused, and that is the only complaint.
    let complaints = site.browser.complaints();
    assert!(complaints.iter().all(|text| text.contains("400 (Bad Request)")), "{complaints:?}");
}

//----------- Changes --------------------------------------------------------

#[test]
fn a_drained_endpoint_is_marked_its_countdown_runs_and_its_reason_is_text() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    site.drain(ENDPOINT, REASON);
    site.browser.wait_for("document.querySelector('#changes progress')");
    site.browser.wait_for("document.querySelector('#table [data-drain=drained]')");
    let marked =
        "[...document.querySelectorAll('#table [data-drain=drained]')].map(e => e.innerText)";
    let marked = site.browser.text(marked);
    assert!(marked.starts_with("sbc1.us-west:5060") && marked.contains("drained"), "{marked}");
    let left = "document.querySelector('#changes [data-countdown]').textContent";
    let done = "document.querySelector('#changes progress').value";
    let (first, begun) = (site.browser.text(left), site.browser.evaluate(done));
    site.browser.wait_for(&format!("{left} !== '{first}'"));
    assert!(site.browser.evaluate(done).as_f64() > begun.as_f64());
    let changes = site.browser.text("document.querySelector('#changes').innerText");
    assert!(changes.contains(REASON), "{changes}");
    let made = "document.querySelectorAll('#changes img, main script').length";
    assert_eq!(
        (site.browser.text(made), site.browser.text("window.ran")),
        ("0".into(), "undefined".into())
    );
    let history = site.browser.text("document.querySelector('#history').innerText");
    assert!(history.contains("drain sbc1.us-west.carrier.example.com."), "{history}");
    site.check();
}

#[test]
fn what_is_held_back_is_the_first_thing_on_the_page_with_its_findings() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    let path = site.folder.path().join("zones/carrier.example.com/priorities.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replacen("\"sbc1.us-west\"", "\"scb1.us-west\"", 1)).unwrap();
    assert_eq!(site.command(&["reload"]).0, Some(1));
    site.browser.wait_for("!document.querySelector('#troubles').hidden");
    let troubles = site.browser.text("document.querySelector('#troubles').innerText");
    assert!(troubles.contains("Files are held back"), "{troubles}");
    assert_eq!(site.browser.text("document.querySelector('#health').textContent"), "1 trouble");
    site.browser.wait_for("document.querySelector('#reload pre')");
    let findings = site.browser.text("document.querySelector('#reload pre').textContent");
    assert!(findings.contains("error[target-without-address]"), "{findings}");
    site.check();
}

//----------- Traffic --------------------------------------------------------

#[test]
fn rates_are_drawn_by_region_and_a_restart_is_no_rate() {
    if !server::has_address("127.0.12.1") {
        return;
    }
    let Some(mut site) = Site::open(DESKTOP) else { return };
    let rate =
        "document.querySelector('#plots [data-region=us-west] p > span:last-child')?.textContent";
    // A rate needs a number to begin with.
    site.browser
        .wait_for("document.querySelector('#traffic-note').textContent.startsWith('No zone')");
    site.ask("127.0.12.1", 100);
    site.browser.wait_for(&format!("parseFloat({rate}) > 0"));
    let curve = "document.querySelector('#plots [data-region=us-west] .curve').getAttribute('d')";
    let drawn = site.browser.text(curve);
    assert!(drawn.starts_with('M') && !drawn.contains("NaN"), "{drawn}");
    assert_eq!(site.browser.text("document.querySelectorAll('#plots li').length"), "1");
    let Site { mut browser, server, folder, .. } = site;
    server.kill();
    browser.wait_for("document.querySelector('#health').textContent.startsWith('No answer')");
    let _server = serve(folder.path());
    browser.wait_for("document.querySelector('#health').textContent === 'All is well'");
    browser.wait_for("document.querySelectorAll('#plots li').length === 0");
}

//----------- Tables ---------------------------------------------------------

#[test]
fn a_table_has_the_endpoints_of_every_region_and_tier() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    let rows = site.browser.evaluate(
        "Object.fromEntries([...document.querySelectorAll('#table tbody tr')].map(row => \
         [row.querySelector('th').textContent, \
         [...row.querySelectorAll('td')].map(cell => cell.innerText)]))",
    );
    assert_eq!(
        rows["us-west"],
        json!(["sbc1.us-west:5060", "sbc2.us-west:5060", "sbc1.us-east:5060"])
    );
    assert!(rows["us-east"][1].as_str().unwrap().contains("weight 60"), "{rows}");
    site.browser.click("#table [data-service='_sips._tcp']");
    site.browser.wait_for(
        "document.querySelector('#table td').innerText === 'sbc1.us-east:5061' \
                           || document.querySelector('#table td').innerText.includes(':5061')",
    );
    site.check();
}

#[test]
fn many_zones_are_cut_and_found_by_a_part_of_their_names() {
    let zone = "$TTL 60\n@ SOA ns1 h 1 2 3 4 5\n@ NS ns1\nns1 A 192.0.2.1\n";
    let many = |folder: &Path| {
        for number in 0..60 {
            let folder = folder.join(format!("zones/trunk{number}.example"));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join("records.zone"), zone).unwrap();
        }
    };
    let Some(mut site) = Site::open_changed(DESKTOP, many) else { return };
    assert_eq!(site.browser.text("document.querySelectorAll('#zones li').length"), "50");
    assert_eq!(
        site.browser.text("document.querySelector('#find-count').textContent"),
        "the first 50 of 61 zones"
    );
    site.browser.evaluate("document.querySelector('#find').focus()");
    site.browser.write("trunk59");
    site.browser.wait_for("document.querySelectorAll('#zones li').length === 1");
    site.browser.click("#zones button");
    site.browser.wait_for("document.querySelector('#table h3').textContent === 'trunk59.example.'");
    site.check();
}

//----------- For everybody --------------------------------------------------

#[test]
fn the_keyboard_alone_reaches_everything_and_shows_where_it_is() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    site.browser.evaluate(
        "window.seen = new Set(); document.addEventListener('focusin', () => \
         window.seen.add(document.activeElement)); document.activeElement.blur()",
    );
    let count = "[...document.querySelectorAll(\
                 'a[href], button, input, select, summary, [tabindex=\"0\"]')]\
                 .filter(element => element.checkVisibility() || element.matches('path'))";
    for _ in 0..site.browser.text(&format!("{count}.length")).parse::<usize>().unwrap() + 2 {
        site.browser.press("Tab");
        let is_visible = site.browser.evaluate(
            "(() => { const element = document.activeElement; \
             const style = getComputedStyle(element); \
             return element === document.body || style.outlineStyle !== 'none' \
             || (element.matches('path') && parseFloat(style.strokeWidth) >= 5); })()",
        );
        let html = "document.activeElement.outerHTML.slice(0, 200)";
        assert_eq!(is_visible, json!(true), "no focus is seen on {}", site.browser.text(html));
    }
    let missed =
        format!("{count}.filter(e => !window.seen.has(e)).map(e => e.outerHTML.slice(0, 100))");
    assert_eq!(site.browser.evaluate(&missed), json!([]));
    // Germany has the map's place in that order; the arrows go on from there.
    site.browser.evaluate("document.querySelector('#map path[tabindex=\"0\"]').focus()");
    site.browser.press("ArrowRight");
    let code = site.browser.text("document.activeElement.dataset.code");
    assert_ne!(code, "DE");
    site.browser.press("Enter");
    site.browser.wait_for("document.querySelector('#answer pre')");
    assert_eq!(site.browser.text("document.querySelector('#ask-country').value"), code);
    site.check();
}

#[test]
fn a_phone_shows_all_without_scrolling_sideways() {
    let Some(mut site) = Site::open(PHONE) else { return };
    site.drain(ENDPOINT, "a_reason_without_any_space_".repeat(8).as_str());
    site.browser.click("#map path[data-code=BR]");
    site.browser.wait_for("document.querySelector('#answer pre')");
    site.browser.wait_for("document.querySelector('#changes progress')");
    site.browser
        .evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })");
    let wide = site.browser.evaluate(
        "[...document.querySelectorAll('body *')].filter(element => \
         !element.closest('pre, .unseen, .skip, svg *, thead') \
         && element.getBoundingClientRect().right > 360.5).map(e => e.outerHTML.slice(0, 150))",
    );
    assert_eq!(wide, json!([]));
    assert_eq!(site.browser.evaluate("document.documentElement.scrollWidth"), json!(360));
    site.check();
}

#[test]
fn dark_and_light_are_what_the_reader_prefers() {
    let Some(mut site) = Site::open(DESKTOP) else { return };
    let luminance = "(() => { const [r, g, b] = getComputedStyle(document.body).backgroundColor\
                     .match(/\\d+/g).map(Number); return r + g + b; })()";
    assert!(site.browser.evaluate(luminance).as_u64().unwrap() > 600);
    site.browser.look(DESKTOP.dark());
    assert!(site.browser.evaluate(luminance).as_u64().unwrap() < 150);
    site.check();
}

#[test]
fn axe_finds_nothing_in_either_scheme_on_either_screen() {
    let Some(axe) = browser::axe() else { return };
    let Some(mut site) = Site::open(DESKTOP) else { return };
    site.drain(ENDPOINT, "a new rack");
    site.browser.click("#map path[data-code=BR]");
    site.browser.wait_for("document.querySelector('#answer pre')");
    site.browser.wait_for("document.querySelector('#table [data-drain=drained]')");
    site.browser.evaluate(&format!("{axe}; 0"));
    site.browser
        .evaluate("document.querySelectorAll('details').forEach(one => { one.open = true })");
    for look in [DESKTOP, DESKTOP.dark(), PHONE, PHONE.dark()] {
        site.browser.look(look);
        let found = site.browser.evaluate(
            "axe.run().then(({ violations }) => violations.map(({ id, help, nodes }) => \
             [id, help, nodes.slice(0, 3).map(one => [one.html, one.failureSummary])]))",
        );
        assert_eq!(found, json!([]), "{look:?}");
    }
}

//----------- Pictures -------------------------------------------------------

/// The pictures of `docs/status-page.md`; with `TRUNKDNS_PICTURES=docs` they are put there. Then
/// `pngquant --force --ext .png docs/status-page-*.png` makes them small.
#[test]
fn the_pictures_of_the_documentation_are_of_this_page() {
    if !server::has_address("127.0.12.1") {
        return;
    }
    let Some(mut site) = Site::open(DESKTOP) else { return };
    site.drain(ENDPOINT, "new rack, back by noon");
    let regions =
        ["127.0.11.1", "127.0.12.1", "127.0.14.1", "127.0.15.1", "127.0.18.1", "127.0.19.1"];
    for round in 0..14 {
        for (at, from) in regions.iter().enumerate() {
            site.ask(from, 120 - 16 * at + (round * 37 + at * 53) % 60);
        }
        std::thread::sleep(Duration::from_millis(2_500));
    }
    site.browser.click("#map path[data-code=BR]");
    site.browser.wait_for("document.querySelector('#answer pre')");
    site.browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)");
    let folder = match std::env::var("TRUNKDNS_PICTURES").as_deref() {
        Ok("docs") => server::project().join("docs"),
        _ => Path::new(env!("CARGO_TARGET_TMPDIR")).to_owned(),
    };
    let dark = DESKTOP.dark();
    let takes: [(&str, Look, Option<u32>); 3] = [
        ("status-page-light.png", DESKTOP, None),
        ("status-page-dark.png", dark, Some(1000)),
        ("status-page-phone.png", PHONE, Some(1500)),
    ];
    for (name, look, height) in takes {
        site.browser.look(look);
        site.browser.wait_for(&format!("innerWidth === {}", look.width));
        let path: PathBuf = folder.join(name);
        site.browser.picture(look, height, &path);
        let committed = server::project().join("docs").join(name);
        let octets = std::fs::read(&committed).unwrap();
        assert!(octets.starts_with(b"\x89PNG"), "{name}");
        assert!(octets.len() < 200_000 || folder.ends_with("docs"), "{name}: {}", octets.len());
    }
    site.check();
}
