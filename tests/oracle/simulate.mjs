// Decides the cases on standard input with @cloud-copilot/iam-simulate, an evaluator of IAM policies that is not ours.
// A case: {principal, account, action, resource, context, policies, boundary}. The answer: a list of "Allow", "Deny",
// "ImplicitDeny", or what the simulator has against the question itself.
import { readFileSync } from 'node:fs'
import { runSimulation } from '@cloud-copilot/iam-simulate'

const DECISIONS = { Allowed: 'Allow', ExplicitlyDenied: 'Deny', ImplicitlyDenied: 'ImplicitDeny' }
// A key's own policy must allow too; every key of ours leaves it to IAM.
const KEY_POLICY = account => ({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${account}:root` }, Action: 'kms:*', Resource: '*' }]
})

const named = (documents, name) => documents.map((policy, index) => ({ name: `${name}${index}`, policy }))

async function decide({ principal, account, action, resource, context, policies, boundary }) {
  const answer = await runSimulation({
    request: { principal, action, resource: { resource, accountId: account }, contextVariables: context },
    identityPolicies: named(policies, 'policy'),
    permissionBoundaryPolicies: boundary ? named([boundary], 'boundary') : undefined,
    resourcePolicy: action.startsWith('kms:') ? KEY_POLICY(account) : undefined,
    serviceControlPolicies: [],
    resourceControlPolicies: []
  }, { simulationMode: 'Strict' })
  return answer.resultType === 'error' ? JSON.stringify(answer.errors) : DECISIONS[answer.overallResult]
}

const cases = JSON.parse(readFileSync(0, 'utf8'))
const decisions = []
for (const question of cases) decisions.push(await decide(question))
process.stdout.write(JSON.stringify(decisions))
