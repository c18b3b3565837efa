// Conveniences: every page works without them.

const loading = document.getElementById("loading");
let timer = 0;

/** Say that something is under way where it takes longer than 300 ms. */
function wait() {
  window.clearTimeout(timer);
  timer = window.setTimeout(() => { loading.hidden = false; }, 300);
}

function done() {
  window.clearTimeout(timer);
  loading.hidden = true;
  document.querySelectorAll("[aria-busy]").forEach((button) => button.removeAttribute("aria-busy"));
}

window.addEventListener("pageshow", done);

document.addEventListener("click", (event) => {
  const link = event.target.closest("a[href]");
  if (link && !event.metaKey && !event.ctrlKey && !link.target && link.origin === location.origin
      && !link.hasAttribute("download") && link.pathname + link.search !== location.pathname + location.search) {
    wait();
  }
  // One menu at a time, and none once somebody looks elsewhere.
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    menu.open = false;
    menu.querySelector("summary").focus();
  });
});

document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.dataset.clean !== undefined) {
    // Empty fields stay out of the address, which people share.
    for (const field of form.elements) if (field.name && !field.value) field.disabled = true;
    window.setTimeout(() => { for (const field of form.elements) field.disabled = false; });
  }
  if (event.submitter) event.submitter.setAttribute("aria-busy", "true");
  wait();
});

// Ticks: all of a page at once, and how many there are.
document.querySelectorAll("input[data-all]").forEach((all) => {
  const form = all.form;
  const ones = [...form.querySelectorAll(`input[name="${all.dataset.all}"]`)];
  const words = form.querySelector("[data-chosen]");
  const count = () => {
    const chosen = ones.filter((one) => one.checked).length;
    all.checked = chosen > 0 && chosen === ones.length;
    all.indeterminate = chosen > 0 && chosen < ones.length;
    words.textContent = chosen ? `${chosen} selected` : words.dataset.chosen;
  };
  all.addEventListener("change", () => {
    ones.forEach((one) => { one.checked = all.checked; });
    count();
  });
  ones.forEach((one) => one.addEventListener("change", count));
  window.addEventListener("pageshow", count);
});

// Filters stay open or shut as they were left.
document.querySelectorAll("details[data-remember]").forEach((details) => {
  const name = `open-${details.dataset.remember}`;
  const kept = sessionStorage.getItem(name);
  if (kept !== null) details.open = kept === "yes";
  details.addEventListener("toggle", () => sessionStorage.setItem(name, details.open ? "yes" : "no"));
});

// A choice that takes effect at once.
document.querySelectorAll("select[data-at-once]").forEach((select) => {
  select.addEventListener("change", () => select.form.requestSubmit());
});
