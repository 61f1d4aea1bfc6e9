// The login form works without this file; here it only learns the visitor's language and says what went wrong.
"use strict";

(() => {
  const message = document.getElementById("message");
  const said = { "?failed": "login_failed", "?later": "login_later", "?busy": "login_busy" }[location.search];
  const show = () => {
    Words.fill();
    message.hidden = !said;
    message.textContent = said ? Words.of(said) : "";
  };
  document.getElementById("language").addEventListener("click", () => { Words.other(); show(); });
  show();
})();
