const element = (name, text, parent) => {
  const made = document.createElement(name);
  made.textContent = text;
  parent.append(made);
  return made;
};

const table = (rows, parent) => {
  const body = element("tbody", "", element("table", "", parent));
  for (const [first, second] of rows) {
    const row = element("tr", "", body);
    element("code", first, element("th", "", row));
    element("td", second, row);
  }
};

// The page may be reached by any name, and below any path of a proxy.
const example = document.getElementById("example");
example.textContent = example.textContent.replace(/http:\S+/, new URL("api/v1/events", location.href).href);

const show = (description) => {
  document.getElementById("title").textContent = description.info.title;
  document.getElementById("description").textContent = description.info.description;
  const main = document.getElementById("operations");
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, operation] of Object.entries(methods)) {
      const section = element("section", "", main);
      element("h2", `${method.toUpperCase()} ${path}`, section);
      element("p", operation.summary, section);
      if (operation.requestBody) {
        element("p", `Takes ${Object.keys(operation.requestBody.content).join(", ")}`, section);
      }
      if (operation.parameters) {
        table(operation.parameters.map(({ name, description }) => [name, description]), section);
      }
      table(Object.entries(operation.responses).map(([status, answer]) => [status, answer.description]), section);
    }
  }
  const section = element("section", "", main);
  element("h2", "Fields", section);
  element("pre", JSON.stringify(description.components.schemas, null, 2), section);
};

fetch("openapi.json").then((response) => response.json()).then(show);
