"use strict";

// What POST /login or /refresh answered last. It lives as long as the page does.
let session = {};

const dark = window.matchMedia("(prefers-color-scheme: dark)");
const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
dark.addEventListener("change", follow);
follow();

const ui = SwaggerUIBundle({
  url: document.querySelector("link[rel=service-desc]").href,
  dom_id: "#swagger-ui",
  deepLinking: true,
  defaultModelsExpandDepth: 0,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  validatorUrl: null,
  requestInterceptor: carryToken,
  responseInterceptor: noteToken,
});
ui.getStore().subscribe(showSession);
showSession();

function token() {
  return ui.authSelectors.authorized().getIn(["bearer", "value"]);
}

// Signing out and renewing take a token like any other call, but the one to renew with is not the one to call with.
function carryToken(request) {
  const needed = { logout: token, refresh: () => session.refresh_token }[lastSegment(request.url)]?.();
  if (needed) request.headers.Authorization = `Bearer ${needed}`;
  return request;
}

function noteToken(response) {
  if (response.ok && lastSegment(response.url) === "logout") {
    ui.authActions.logout(["bearer"]);
    session = {};
  } else if (response.ok && response.body?.access_token) {
    session = response.body;
    ui.preauthorizeApiKey("bearer", session.access_token);
  }
  return response;
}

function lastSegment(url) {
  return new URL(url, location.href).pathname.split("/").pop();
}

function showSession() {
  const who = token() === session.access_token ? `Signed in as ${session.user?.username}` : "Signed in";
  const text = token()
    ? `${who}: whatever you try out carries your token, until you try out POST /logout or leave this page.`
    : "Not signed in. Try out POST /login, and whatever you try out next carries your token.";
  const bar = document.getElementById("session");
  if (bar.textContent === text) return; // or screen readers say it again at every click
  bar.textContent = text;
  bar.classList.toggle("signed-in", Boolean(token()));
}
