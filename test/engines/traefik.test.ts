import { testEngine } from '../fixtures/engine-suite.js'

testEngine('traefik')
