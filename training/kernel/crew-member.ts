import type { Board } from './crew-board.ts'

/** What a thread of a crew is started with. */
export interface CrewMember {
  module: WebAssembly.Module | undefined
  memory: WebAssembly.Memory
  board: Board
  /** Its number, from 1. */
  thread: number
}

/** What a thread is sent to do when its loops end. */
export interface CrewTurn {
  /** URL of a module that is a `CrewEntry`. */
  entry: string
  job: unknown
}

/** What a module exports that a crew can be turned to. */
export interface CrewEntry {
  work(job: unknown): void
}
