"use strict";
// Asks for a code and trades it for a key (docs/registration.md). Nothing is kept: the key is shown once.
(() => {
  const at = (id) => document.getElementById(id);
  const begin = at("begin"), confirm = at("confirm"), said = at("said");
  if (!begin) return;
  let registration = "";
  const say = (text) => { said.textContent = text; };
  async function call(form, method, path, body) {
    const buttons = form.querySelectorAll("button");
    buttons.forEach((button) => { button.disabled = true; });
    try {
      const answer = await fetch(path, { method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
      const document = await answer.json();
      if (!answer.ok) {
        say(document.detail || said.dataset.failed);
        const kind = String(document.type || "").split(":").pop();
        if (["locked", "wrong-lock-pin", "bad-lock-pin"].includes(kind)) { at("lock").hidden = false; at("pin").focus(); }
        return null;
      }
      return document;
    } catch {
      say(said.dataset.failed);
      return null;
    } finally {
      buttons.forEach((button) => { button.disabled = false; });
    }
  }
  const told = (begun) => say(begun.sent === false ? said.dataset.latest : said.dataset.sent);
  begin.addEventListener("submit", async (event) => {
    event.preventDefault();
    const begun = await call(begin, "POST", "/v1/registrations", { phone: at("phone").value, locale: document.documentElement.lang });
    if (!begun) return;
    registration = begun.id;
    confirm.hidden = false;
    told(begun);
    at("code").focus();
  });
  at("again").addEventListener("click", async () => {
    const begun = await call(confirm, "POST", `/v1/registrations/${registration}/code`, { transport: "sms" });
    if (begun) told(begun);
  });
  confirm.addEventListener("submit", async (event) => {
    event.preventDefault();
    const proof = { code: at("code").value, device_name: "Web page" };
    if (at("pin").value) proof.lock_pin = at("pin").value;
    const registered = await call(confirm, "PUT", `/v1/registrations/${registration}`, proof);
    if (!registered) return;
    at("jid").textContent = registered.jid;
    at("key").textContent = registered.key;
    begin.hidden = true;
    confirm.hidden = true;
    at("done").hidden = false;
    say("");
  });
})();
