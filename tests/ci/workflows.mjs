// Runs workflows without GitHub: node --import ./json_modules.mjs workflows.mjs REQUEST.json > answer.json
//
// GitHub's own parser says whether the schema holds, and its own evaluator what an expression is worth. `run:` steps really run,
// each job in a workspace of its own; actions are the stand-ins below. What is not known here is an error.
// README.md says where this differs from GitHub.
import { NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow } from '@actions/workflow-parser';
import { Evaluator, Lexer, Parser, data } from '@actions/expressions';
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import http from 'node:http';
import path from 'node:path';
import YAML from 'yaml';

const STATUS = ['success', 'failure', 'always', 'cancelled'];
const CONTEXTS = ['env', 'github', 'inputs', 'matrix', 'needs', 'steps', 'vars'];
// As iac/bootstrap's trust policies have it: the environments whose jobs, or else the events, may take on each role.
const TRUST = {
  'ci-plan': ['plan', 'pull_request'],
  'ci-approve': ['core', 'staging', 'production'],
  'ci-apply': ['core', 'staging', 'production'],
  'data-scientist': ['retrain'],
};

class Failed extends Error {}

async function findProblems(file) {
  const text = fs.readFileSync(file, 'utf8');
  const parsed = parseWorkflow({ name: file, content: text }, new NoOperationTraceWriter());
  const problems = parsed.context.errors.getErrors().map((error) => error.message);
  if (problems.length || !parsed.value) return problems.length ? problems : ['no workflow'];
  const template = await convertWorkflowTemplate(parsed.context, parsed.value, undefined, { errorPolicy: 1 });
  return (template.errors ?? []).map((error) => error.Message ?? error.message);
}

// --- expressions ---

function toData(value) {
  if (value === null || value === undefined) return new data.Null();
  if (typeof value === 'boolean') return new data.BooleanData(value);
  if (typeof value === 'number') return new data.NumberData(value);
  if (Array.isArray(value)) return new data.Array(...value.map(toData));
  if (typeof value === 'object') {
    return new data.Dictionary(...Object.entries(value).map(([key, inner]) => ({ key, value: toData(inner) })));
  }
  return new data.StringData(String(value));
}

function evaluate(expression, contexts, status = {}) {
  const functions = STATUS.map((name) => ({
    name, minArgs: 0, maxArgs: 0, call: () => new data.BooleanData(Boolean(status[name])),
  }));
  const parsed = new Parser(new Lexer(expression).lex().tokens, CONTEXTS, functions).parse();
  const known = new Map(functions.map((definition) => [definition.name, definition]));
  return new Evaluator(parsed, toData(contexts), known).evaluate();
}

function fill(value, contexts) {
  if (Array.isArray(value)) return value.map((inner) => fill(inner, contexts));
  if (value && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, fill(inner, contexts)]));
  }
  if (value === null || value === undefined) return '';
  return String(value).replace(/\$\{\{(.*?)\}\}/gs, (_all, expression) => evaluate(expression, contexts).coerceString());
}

function holds(condition, contexts, status) {
  let text = String(condition ?? 'success()').trim();
  const wrapped = text.match(/^\$\{\{(.*)\}\}$/s);
  if (wrapped) text = wrapped[1];
  if (!STATUS.some((name) => new RegExp(`\\b${name}\\s*\\(`).test(text))) text = `success() && (${text})`;
  const result = evaluate(text, contexts, status);
  return !['', 'false', '0'].includes(result.coerceString());
}

// What GitHub gives a job, unsigned: nobody here has a key of GitHub's to check it with.
function identityToken(subject) {
  const claims = { iss: 'https://token.actions.githubusercontent.com', aud: 'sts.amazonaws.com', sub: subject };
  const parts = [{ alg: 'none' }, claims].map((part) => Buffer.from(JSON.stringify(part)).toString('base64url'));
  return [...parts, 'unsigned'].join('.');
}

// --- a run ---

class Run {
  constructor(workflow, scenario) {
    this.workflow = workflow;
    this.scenario = scenario;
    this.results = {};
    this.artifacts = {};
    this.events = [];
    this.reviewed = [];
    this.workspaces = 0;
  }

  needsOf(name) {
    const needs = this.workflow.jobs[name].needs ?? [];
    return Array.isArray(needs) ? needs : [needs];
  }

  ancestorsOf(name) {
    return [...new Set(this.needsOf(name).flatMap((need) => [need, ...this.ancestorsOf(need)]))];
  }

  async start() {
    this.api = http.createServer((request, response) => this.answerApi(request, response));
    await new Promise((resolve) => this.api.listen(0, '127.0.0.1', resolve));
    try {
      const waiting = Object.keys(this.workflow.jobs);
      while (waiting.length) {
        const index = waiting.findIndex((name) => this.needsOf(name).every((need) => need in this.results));
        if (index < 0) throw new Failed(`these need what is not there: ${waiting}`);
        await this.runJob(waiting.splice(index, 1)[0]);
      }
    } finally {
      this.api.close();
    }
    return { name: this.scenario.name, results: this.results, events: this.events };
  }

  // GET /repos/{owner}/{repo}/actions/runs/{run}/approvals, for a job that may read actions.
  answerApi(request, response) {
    const job = this.workflow.jobs[this.current];
    const mayRead = job.permissions?.actions === 'read' && request.headers.authorization === 'Bearer job-token';
    const isReviews = request.url === '/repos/example/mlops/actions/runs/1/approvals';
    response.statusCode = !isReviews ? 404 : mayRead ? 200 : 403;
    response.end(JSON.stringify(isReviews && mayRead ? this.reviewed : { message: 'no' }));
  }

  async runJob(name) {
    const job = this.workflow.jobs[name];
    this.current = name;
    const before = this.ancestorsOf(name).map((ancestor) => this.results[ancestor].result);
    const contexts = this.contexts({ needs: Object.fromEntries(this.needsOf(name).map((need) => [need, this.results[need]])) });
    const status = this.status(before.every((result) => result === 'success'), before.includes('failure'));
    if (!holds(job.if, contexts, status)) {
      this.results[name] = { result: 'skipped', outputs: {} };
      return;
    }
    const environment = fill(job.environment?.name ?? job.environment ?? '', contexts);
    if (this.scenario.protected.includes(environment)) {
      const login = this.scenario.reviewers[environment];
      this.events.push({ gate: environment, answered: login ?? null });
      if (!login) {
        this.results[name] = { result: 'failure', outputs: {} };
        return;
      }
      this.reviewed.push({ state: 'approved', environments: [{ name: environment }], user: { login } });
    }
    let result = 'success';
    let outputs = {};
    for (const matrix of this.combinations(fill(job.strategy?.matrix ?? {}, contexts))) {
      const ended = await this.runSteps(name, job, { ...contexts, matrix }, environment);
      if (ended.result !== 'success') result = ended.result;
      outputs = ended.outputs;
    }
    this.results[name] = { result, outputs };
  }

  combinations(matrix) {
    return Object.entries(matrix).reduce(
      (found, [axis, values]) => found.flatMap((one) => values.map((value) => ({ ...one, [axis]: value }))), [{}]);
  }

  contexts(more) {
    const { github, vars, inputs } = this.scenario;
    return { github: { repository: 'example/mlops', ...github, token: 'job-token' }, vars, inputs: inputs ?? {}, env: {}, matrix: {}, steps: {}, ...more };
  }

  status(success, failure) {
    return { success, failure, always: true, cancelled: false };
  }

  async runSteps(name, job, contexts, environment) {
    const place = {
      job, environment, workspace: path.join(this.scenario.folder, `job-${++this.workspaces}`),
      environ: fill({ ...this.workflow.env, ...job.env }, contexts), role: '', aws: {},
    };
    fs.mkdirSync(place.workspace);
    const steps = {};
    let failed = false;
    for (const [index, step] of job.steps.entries()) {
      const here = { ...contexts, steps, env: place.environ };
      if (!holds(step.if, here, this.status(!failed, failed))) continue;
      const outcome = { outputs: {}, outcome: 'success', conclusion: 'success' };
      try {
        if (step.uses) this.useAction(fill(step.uses, here).split('@')[0], fill(step.with ?? {}, here), place);
        else outcome.outputs = await this.runShell(step, here, place);
      } catch (error) {
        if (!(error instanceof Failed)) throw error;
        this.events.push({ failed: error.message, job: name });
        outcome.outcome = 'failure';
        if (fill(step['continue-on-error'] ?? 'false', here) !== 'true') {
          outcome.conclusion = 'failure';
          failed = true;
        }
      }
      steps[step.id ?? `step-${index}`] = outcome;
    }
    const outputs = fill(job.outputs ?? {}, { ...contexts, steps, env: place.environ });
    return { result: failed ? 'failure' : 'success', outputs };
  }

  useAction(action, given, place) {
    switch (action) {
      case 'actions/checkout':
        if (place.job.permissions?.contents !== 'read') throw new Failed('checkout needs contents: read');
        fs.cpSync(this.scenario.source, place.workspace, { recursive: true, verbatimSymlinks: true });
        this.events.push({ checkout: this.current, persists: given['persist-credentials'] !== 'false', depth: given['fetch-depth'] ?? '1' });
        return;
      case 'aws-actions/configure-aws-credentials': {
        const [, role] = given['role-to-assume'].match(/^arn:aws:iam::123456789012:role\/mlops-(.+)$/) ?? [];
        const { event_name: event, ref } = this.scenario.github;
        // A fork's request gets no token, whatever its workflow asks for.
        if (place.job.permissions?.['id-token'] !== 'write' || this.scenario.fork) throw new Failed('there is no identity token');
        if (!TRUST[role]?.includes(place.environment || event)) throw new Failed(`${role} does not trust jobs of ${place.environment || event}`);
        if (event === 'pull_request' && given['role-session-name'] !== 'pull-request') throw new Failed(`${role} does not trust this session`);
        place.role = `mlops-${role}`;
        const subject = place.environment ? `environment:${place.environment}` : event === 'pull_request' ? event : `ref:${ref}`;
        const token = path.join(this.scenario.folder, `token-${this.workspaces}`);
        fs.writeFileSync(token, identityToken(`repo:example/mlops:${subject}`));
        place.aws = {
          AWS_ROLE_ARN: given['role-to-assume'], AWS_WEB_IDENTITY_TOKEN_FILE: token, AWS_ROLE_SESSION_NAME: given['role-session-name'],
          AWS_REGION: given['aws-region'],
        };
        return;
      }
      case 'actions/upload-artifact': {
        const files = given.path.split('\n').flatMap((pattern) => this.match(place.workspace, pattern.trim()));
        if (!files.length && given['if-no-files-found'] === 'error') throw new Failed(`nothing at ${given.path}`);
        // GitHub keeps the files below their least common folder.
        const common = files.map((file) => path.dirname(file)).reduce((one, other) => (one === other ? one : path.dirname(one)), files.length ? path.dirname(files[0]) : '');
        this.artifacts[given.name] = files.map((file) => [path.relative(common, file), fs.readFileSync(path.join(place.workspace, file))]);
        this.events.push({ artifact: given.name, files });
        return;
      }
      case 'actions/download-artifact':
        if (!this.artifacts[given.name]) throw new Failed(`there is no artifact ${given.name}`);
        for (const [file, body] of this.artifacts[given.name]) {
          const target = path.join(place.workspace, given.path ?? '.', file);
          fs.mkdirSync(path.dirname(target), { recursive: true });
          fs.writeFileSync(target, body);
        }
        return;
      default:
        throw new Error(`there is no stand-in for ${action}`);
    }
  }

  match(root, pattern) {
    let found = [''];
    for (const segment of pattern.split('/')) {
      const name = new RegExp(`^${segment.replace(/[.]/g, '\\.').replace(/\*/g, '[^/]*')}$`);
      found = found.flatMap((folder) => {
        const home = path.join(root, folder);
        if (!fs.existsSync(home) || !fs.statSync(home).isDirectory()) return [];
        return fs.readdirSync(home).filter((entry) => name.test(entry)).map((entry) => path.join(folder, entry));
      });
    }
    return found;
  }

  async runShell(step, contexts, place) {
    const script = fill(step.run, contexts);
    const files = Object.fromEntries(['OUTPUT', 'STEP_SUMMARY', 'ENV', 'PATH'].map((name) => [`GITHUB_${name}`, path.join(place.workspace, `.github-${name}`)]));
    for (const file of Object.values(files)) fs.writeFileSync(file, '');
    const github = this.scenario.github;
    const environ = {
      ...this.scenario.environ, ...files, CI: 'true', GITHUB_ACTIONS: 'true',
      GITHUB_API_URL: `http://127.0.0.1:${this.api.address().port}`, GITHUB_SERVER_URL: 'https://github.example',
      GITHUB_REPOSITORY: 'example/mlops', GITHUB_RUN_ID: '1', GITHUB_ACTOR: github.actor, GITHUB_REF_NAME: github.ref_name ?? 'main',
      ROLE_IN_USE: place.role, ...place.aws, ...place.environ, ...fill(step.env ?? {}, contexts),
    };
    const code = await new Promise((resolve) => {
      const child = spawn('bash', ['-e', '-c', script], { cwd: place.workspace, env: environ, stdio: ['ignore', 'pipe', 'pipe'] });
      let said = '';
      child.stdout.on('data', (part) => { said += part; });
      child.stderr.on('data', (part) => { said += part; });
      child.on('close', (ended) => { this.events.push({ run: script, code: ended, said, job: this.current }); resolve(ended); });
    });
    if (code) throw new Failed(`${script} ended with ${code}`);
    this.events.push({ summary: fs.readFileSync(files.GITHUB_STEP_SUMMARY, 'utf8'), job: this.current });
    const lines = fs.readFileSync(files.GITHUB_OUTPUT, 'utf8').split('\n').filter((line) => line.includes('='));
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
  }
}

const answers = [];
for (const run of JSON.parse(fs.readFileSync(process.argv[2], 'utf8')).runs) {
  const problems = await findProblems(run.file);
  if (problems.length) {
    answers.push({ invalid: problems.join('; ') });
    continue;
  }
  const workflow = YAML.parse(fs.readFileSync(run.file, 'utf8'));
  const outcomes = [];
  try {
    for (const scenario of run.scenarios) outcomes.push(await new Run(workflow, scenario).start());
    answers.push({ workflow, outcomes });
  } catch (error) {
    answers.push({ invalid: error.message });
  }
}
process.stdout.write(JSON.stringify(answers));
