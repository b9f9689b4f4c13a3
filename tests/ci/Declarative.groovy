// Runs a declarative Jenkinsfile without Jenkins: groovy Declarative.groovy REQUEST.json > answer.json
//
// The request: {"runs": [{"file": ..., "scenarios": [{...}]}]}. The answer: per file either "invalid", with what Jenkins's
// declarative validator would say, or "model", what the sections declare, and per scenario what happened. `sh` steps really run.
// What is not known here is an error, so that nothing is passed over in silence. README.md says where this differs from Jenkins.
import groovy.io.FileType
import groovy.json.JsonOutput
import groovy.json.JsonSlurper
import java.nio.file.FileSystems
import org.codehaus.groovy.ast.ClassNode
import org.codehaus.groovy.ast.expr.*
import org.codehaus.groovy.ast.stmt.ExpressionStatement
import org.codehaus.groovy.classgen.GeneratorContext
import org.codehaus.groovy.control.CompilePhase
import org.codehaus.groovy.control.CompilerConfiguration
import org.codehaus.groovy.control.MultipleCompilationErrorsException
import org.codehaus.groovy.control.SourceUnit
import org.codehaus.groovy.control.customizers.CompilationCustomizer

class Invalid extends RuntimeException { Invalid(String message) { super(message) } }
class Failed extends RuntimeException { Failed(String message) { super(message) } }
class Aborted extends RuntimeException { Aborted(String message) { super(message) } }

/** What the declarative parser refuses by the shape of a statement alone: code where only sections and steps may stand. */
class Shape extends CompilationCustomizer {
  static final FREE = ['script', 'expression']
  List<String> problems = []

  Shape() { super(CompilePhase.CONVERSION) }

  void call(SourceUnit source, GeneratorContext context, ClassNode node) {
    def top = source.AST.statementBlock.statements
    if (top.size() != 1 || !isCall(top[0]) || top[0].expression.methodAsString != 'pipeline') {
      problems << 'a declarative Jenkinsfile is one pipeline block'
      return
    }
    check(top[0].expression)
  }

  private void check(MethodCallExpression call) {
    def name = call.methodAsString
    for (statement in bodyOf(call)) {
      if (name == 'environment') {
        def isPair = statement instanceof ExpressionStatement && statement.expression instanceof BinaryExpression &&
          statement.expression.operation.text == '='
        if (!isPair) problems << "line ${statement.lineNumber}: environment takes NAME = value".toString()
      } else if (!isCall(statement)) {
        problems << "line ${statement.lineNumber}: ${name} takes sections or steps, not code".toString()
      } else if (!(statement.expression.methodAsString in FREE)) {
        check(statement.expression)
      }
    }
  }

  private static boolean isCall(statement) {
    statement instanceof ExpressionStatement && statement.expression instanceof MethodCallExpression
  }

  private static List bodyOf(MethodCallExpression call) {
    def arguments = call.arguments instanceof TupleExpression ? call.arguments.expressions : []
    arguments && arguments[-1] instanceof ClosureExpression ? arguments[-1].code.statements : []
  }
}

/** One word of a section with its arguments, and its block where it has one. */
class Entry {
  String name
  List arguments
  Closure block

  def first() { arguments ? arguments[0] : null }
}

/** Takes a block's words down in their order. */
class Collector extends GroovyObjectSupport {
  Machine machine
  List<Entry> entries = []

  def invokeMethod(String name, Object given) {
    def arguments = (given as List)
    def block = arguments && arguments[-1] instanceof Closure ? arguments.pop() : null
    // `buildDiscarder(logRotator(...))`: what is an argument is no entry of its own.
    entries.removeAll { entry -> arguments.any { it.is(entry) } }
    def entry = new Entry(name: name, arguments: arguments, block: block)
    entries << entry
    entry
  }

  def getProperty(String name) {
    name in ['any', 'none'] ? name : machine.lookUp(name)
  }

  static List<Entry> read(Closure block, Machine machine) {
    def collector = new Collector(machine: machine)
    machine.call(block, collector)
    collector.@entries
  }
}

class Environment extends GroovyObjectSupport {
  Machine machine

  def getProperty(String name) { machine.environ[name] }

  void setProperty(String name, Object value) {
    // What a script sets stays set, whatever stage it stands in.
    machine.environ[name] = value.toString()
    machine.kept[name] = value.toString()
  }
}

/** `NAME = value` of an environment section. */
class Assignments extends GroovyObjectSupport {
  Machine machine

  def getProperty(String name) { machine.lookUp(name) }

  void setProperty(String name, Object value) { machine.environ[name] = value.toString() }
}

class Steps extends GroovyObjectSupport {
  Machine machine

  def getProperty(String name) { name == 'env' ? new Environment(machine: machine) : machine.lookUp(name) }

  def invokeMethod(String name, Object arguments) { machine.step(name, arguments as List) }
}

class Machine {
  static final SECTIONS = [
    pipeline: ['agent', 'environment', 'options', 'parameters', 'post', 'stages', 'triggers'],
    stage: ['agent', 'environment', 'input', 'options', 'post', 'stages', 'steps', 'when'],
    input: ['id', 'message', 'ok', 'parameters', 'submitter', 'submitterParameter'],
    post: ['aborted', 'always', 'changed', 'cleanup', 'failure', 'success', 'unstable', 'unsuccessful'],
    options: ['buildDiscarder', 'disableConcurrentBuilds', 'retry', 'skipDefaultCheckout', 'timeout', 'timestamps'],
    when: ['allOf', 'anyOf', 'beforeAgent', 'beforeInput', 'beforeOptions', 'branch', 'changeRequest', 'expression', 'not'],
  ]
  static final BEFORE = ['beforeAgent', 'beforeInput', 'beforeOptions']

  Map scenario
  Map environ = [:]
  Map kept = [:]
  List events = []
  Map stashes = [:]
  File workspace
  int workspaces = 0
  boolean isTop
  boolean isScript

  Machine(Map scenario) {
    this.scenario = scenario
    environ.putAll([BRANCH_NAME: 'main', BUILD_TAG: 'jenkins-mlops-1', BUILD_NUMBER: '1'])
    environ.putAll(scenario.environ ?: [:])
  }

  def call(Closure block, Object delegate) {
    def copy = block.rehydrate(delegate, delegate, delegate)
    copy.resolveStrategy = Closure.DELEGATE_ONLY
    copy()
  }

  def lookUp(String name) {
    if (name == 'env') return new Environment(machine: this)
    if (environ.containsKey(name)) return environ[name]
    throw new Invalid("there is no ${name}")
  }

  // --- what is declared ---

  Map<String, Entry> sections(Closure block, String kind) {
    def found = [:]
    for (entry in Collector.read(block, this)) {
      if (!(entry.name in SECTIONS[kind])) throw new Invalid("${kind} has no section ${entry.name}")
      if (found.containsKey(entry.name)) throw new Invalid("${kind} has ${entry.name} twice")
      found[entry.name] = entry
    }
    found
  }

  Map describe(Closure block) {
    def parts = sections(block, 'pipeline')
    if (!parts.agent || !parts.stages) throw new Invalid('a pipeline needs agent and stages')
    def stages = Collector.read(parts.stages.block, this)
    if (!stages) throw new Invalid('stages is empty')
    def names = stages*.first()
    if (names.toSet().size() != names.size()) throw new Invalid('two stages bear the same name')
    [agent: describeAgent(parts.agent), options: describeOptions(parts.options), environment: describeEnvironment(parts.environment),
     post: describePost(parts.post), sections: parts.keySet() as List, stages: stages.collect { describeStage(it) }]
  }

  private Map describeStage(Entry stage) {
    if (stage.name != 'stage' || !stage.block) throw new Invalid("${stage.name} is no stage")
    def parts = sections(stage.block, 'stage')
    if (!parts.steps) throw new Invalid("stage ${stage.first()} has no steps")
    if (parts.when) conditions(parts.when).findAll { !(it.name in BEFORE) } ?: { throw new Invalid('an empty when') }()
    [name: stage.first(), agent: parts.agent ? describeAgent(parts.agent) : null, options: describeOptions(parts.options),
     input: parts.input ? describeInput(parts.input) : null, environment: describeEnvironment(parts.environment),
     post: describePost(parts.post), when: parts.when ? conditions(parts.when).collectEntries { [it.name, it.block ? 'block' : it.first()] } : [:]]
  }

  private static Map describeEnvironment(Entry environment) {
    if (!environment) return [:]
    def fresh = new Machine([:]), given = new HashSet(fresh.environ.keySet())
    fresh.call(environment.block, new Assignments(machine: fresh))
    fresh.environ.findAll { !(it.key in given) }
  }

  private List<String> describePost(Entry post) { post ? sections(post.block, 'post').keySet() as List : [] }

  private static String describeAgent(Entry agent) { agent.block ? 'some' : agent.first() }

  private Map describeOptions(Entry options) {
    if (!options) return [:]
    sections(options.block, 'options').collectEntries { name, entry -> [name, entry.first() instanceof Entry ? true : (entry.first() ?: true)] }
  }

  private Map describeInput(Entry input) {
    def parts = sections(input.block, 'input')
    if (!parts.message) throw new Invalid('input needs a message')
    parts.collectEntries { name, entry -> [name, entry.first()] }
  }

  private List<Entry> conditions(Entry when) {
    def found = Collector.read(when.block, this)
    found.each { if (!(it.name in SECTIONS.when)) throw new Invalid("when knows no ${it.name}") }
    found
  }

  // --- what happens ---

  String run(Closure block) {
    def parts = sections(block, 'pipeline')
    isTop = describeAgent(parts.agent) != 'none'
    if (isTop) enter()
    def result = 'SUCCESS'
    try {
      if (parts.environment) call(parts.environment.block, new Assignments(machine: this))
      Collector.read(parts.stages.block, this).each { stage(it) }
    } catch (Aborted aborted) {
      result = 'ABORTED'
      events << [abort: aborted.message]
    } catch (Failed failed) {
      result = 'FAILURE'
      events << [failure: failed.message]
    }
    if (parts.post) after(parts.post, result)
    result
  }

  private void stage(Entry entry) {
    def name = entry.first().toString()
    def parts = sections(entry.block, 'stage')
    def outer = new LinkedHashMap(environ)
    def place = workspace
    def before = parts.when ? conditions(parts.when).findAll { it.name in BEFORE && it.first() }*.name : []
    if (parts.environment) call(parts.environment.block, new Assignments(machine: this))
    def skipped = { parts.when && !holds(conditions(parts.when)) }
    try {
      // Jenkins's order: options, input, agent, when; each `before...` brings `when` forward.
      if ('beforeInput' in before && skipped()) { events << [skip: name]; return }
      if (parts.input) answer(describeInput(parts.input), holding: workspace != null)
      if ('beforeAgent' in before && skipped()) { events << [skip: name]; return }
      if (parts.agent && describeAgent(parts.agent) != 'none') enter()
      if (skipped()) { events << [skip: name, agent: workspace != null]; return }
      events << [stage: name]
      def result = 'SUCCESS'
      try {
        call(parts.steps.block, new Steps(machine: this))
      } catch (Failed failed) {
        result = 'FAILURE'
        throw failed
      } finally {
        if (parts.post) after(parts.post, result)
      }
    } finally {
      environ = outer
      environ.putAll(kept)
      workspace = isTop ? place : null
    }
  }

  /** A workspace of its own: the next stage may run on another machine. */
  private void enter() {
    workspace = new File(scenario.folder, "workspace-${++workspaces}")
    def copied = ['cp', '-a', scenario.source, workspace.path].execute()
    if (copied.waitFor()) throw new IllegalStateException(copied.err.text)
  }

  private boolean holds(List<Entry> conditions, boolean any = false) {
    def answers = conditions.findAll { !(it.name in BEFORE) }.collect { condition ->
      switch (condition.name) {
        case 'branch': return environ.BRANCH_NAME == condition.first()
        case 'changeRequest': return environ.CHANGE_ID != null
        case 'expression': return this.call(condition.block, new Steps(machine: this)) as boolean
        case 'not': return !holds(Collector.read(condition.block, this))
        case 'allOf': return holds(Collector.read(condition.block, this))
        case 'anyOf': return holds(Collector.read(condition.block, this), true)
        default: throw new Invalid("when knows no ${condition.name}")
      }
    }
    any ? answers.any() : answers.every()
  }

  private String answer(Map how, Map settings) {
    def given = scenario.answers?.getAt(settings.message)
    events << [gate: settings.message, holding: how.holding, answered: given?.by]
    if (!given) throw new Aborted("nobody answered: ${settings.message}")
    def allowed = settings.submitter?.tokenize(',')*.trim()
    if (allowed && !(given.by in allowed) && !given.groups?.any { it in allowed }) {
      throw new Aborted("${given.by} may not answer: ${settings.message}")
    }
    if (settings.submitterParameter) environ[settings.submitterParameter] = given.by
    given.by
  }

  private void after(Entry post, String result) {
    def wanted = ['always', 'cleanup', result.toLowerCase()] + (result == 'SUCCESS' ? [] : ['unsuccessful'])
    sections(post.block, 'post').each { name, entry ->
      if (name in wanted) this.call(entry.block, new Steps(machine: this))
    }
  }

  def step(String name, List arguments) {
    events << [step: name, script: isScript]
    def block = arguments && arguments[-1] instanceof Closure ? arguments[-1] : null
    def first = arguments ? arguments[0] : null
    def options = first instanceof Map ? first : [:]
    switch (name) {
      case 'sh': return shell(options.script ?: first, options)
      case 'script':
        isScript = true
        try { return call(block, new Steps(machine: this)) } finally { isScript = false }
      case 'echo': return null
      case 'error': throw new Failed(first.toString())
      case 'input': return answer(options ?: [message: first], holding: workspace != null)
      case 'readFile':
        def file = new File(agent(name), (options.file ?: first).toString())
        if (!file.exists()) throw new Failed("there is no file ${file.name}")
        return file.text
      case 'withEnv':
        def outer = new LinkedHashMap(environ)
        first.each { pair -> environ[pair.toString().split('=', 2)[0]] = pair.toString().split('=', 2)[1] }
        try { return call(block, new Steps(machine: this)) } finally { environ = outer; environ.putAll(kept) }
      case 'catchError':
        try { return call(block, new Steps(machine: this)) } catch (Failed failed) { events << [swallowed: failed.message]; return null }
      case 'archiveArtifacts': return archive(options.artifacts ?: first, options.allowEmptyArchive)
      case 'stash': stashes[options.name] = files(options.includes).collectEntries { [it, new File(agent(name), it).bytes] }; return null
      case 'unstash':
        if (!stashes.containsKey(first)) throw new Failed("there is no stash ${first}")
        stashes[first].each { file, bytes -> def target = new File(agent(name), file); target.parentFile.mkdirs(); target.bytes = bytes }
        return null
      case 'timeout': case 'timestamps': return call(block, new Steps(machine: this))
    }
    throw new Invalid("there is no step ${name}")
  }

  private File agent(String step) {
    if (!workspace) throw new Invalid("${step} needs an agent")
    workspace
  }

  private List<String> files(String patterns) {
    def root = agent('files').toPath()
    def matchers = patterns.tokenize(',').collect { FileSystems.default.getPathMatcher("glob:${it.trim()}") }
    def found = []
    root.toFile().eachFileRecurse(FileType.FILES) { file ->
      def path = root.relativize(file.toPath())
      if (matchers.any { it.matches(path) }) found << path.toString()
    }
    found
  }

  private archive(String patterns, mayBeEmpty) {
    def found = files(patterns)
    if (!found && !mayBeEmpty) throw new Failed("nothing to archive: ${patterns}")
    events << [archived: found.sort()]
    null
  }

  private shell(script, Map options) {
    def builder = new ProcessBuilder('bash', '-xe', '-c', script.toString()).directory(agent('sh'))
    builder.environment().keySet().retainAll(['PATH', 'HOME'])
    environ.each { name, value -> builder.environment()[name] = value.toString() }
    def process = builder.start()
    def out = new StringBuffer(), err = new StringBuffer()
    process.waitForProcessOutput(out, err)
    events << [sh: script.toString(), options: (options.keySet() - 'script') as List, code: process.exitValue(), log: "${out}${err}".toString()]
    if (options.returnStatus) return process.exitValue()
    if (process.exitValue()) throw new Failed("${script} ended with ${process.exitValue()}")
    options.returnStdout ? out.toString() : null
  }
}

def answer = new JsonSlurper().parse(new File(args[0])).runs.collect { run ->
  def shape = new Shape(), configuration = new CompilerConfiguration()
  configuration.addCompilationCustomizers(shape)
  def script
  try {
    script = new GroovyShell(configuration).parse(new File(run.file))
  } catch (MultipleCompilationErrorsException error) {
    return [invalid: error.message]
  }
  if (shape.problems) return [invalid: shape.problems.join('; ')]
  def pipeline = null
  script.metaClass.pipeline = { Closure block -> pipeline = block }
  try {
    script.run()
    def model = new Machine([:]).describe(pipeline)
    def outcomes = run.scenarios.collect { scenario ->
      def machine = new Machine(scenario)
      [name: scenario.name, result: machine.run(pipeline), events: machine.events]
    }
    return [model: model, outcomes: outcomes]
  } catch (Invalid error) {
    return [invalid: error.message]
  }
}
println JsonOutput.toJson(answer)
