"""What a browser makes of the page's Content-Security-Policy."""

from playwright.sync_api import Browser, expect
from served import Server

INTO_PAGE = """() => {
  window.ran = [];
  const place = document.createElement("div");
  place.innerHTML = `<img src="/no-such.png" onerror="ran.push('attribute')">
    <a href="javascript:ran.push('address')">x</a>
    <iframe srcdoc="<script>parent.ran.push('frame')</script>"></iframe>`;
  document.body.append(place);
  const script = document.createElement("script");
  script.textContent = "ran.push('script')";
  document.body.append(script);
  place.querySelector("a").click();
}"""
ELSEWHERE = """async () => {
  const tries = [fetch("http://localhost:9/x"), fetch("https://example.com/x", {mode: "no-cors"})];
  return (await Promise.allSettled(tries)).map(({status}) => status);
}"""


def test_what_got_into_the_page_would_not_run_and_could_tell_nobody(
    browser: Browser, server: Server
) -> None:
    page = browser.new_page()  # one whose errors are looked for
    errors: list[str] = []
    page.goto(server.url)
    expect(page.locator("#start")).to_be_enabled()
    page.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    page.evaluate(INTO_PAGE)
    page.wait_for_timeout(500)
    assert page.evaluate("ran") == []
    assert sum("Content Security Policy" in text for text in errors) >= 3
    assert page.evaluate(ELSEWHERE) == ["rejected", "rejected"]
    assert any("connect-src" in text for text in errors)
    page.close()
