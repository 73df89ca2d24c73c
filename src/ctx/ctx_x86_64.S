/* SPDX-License-Identifier: MIT */
/*
 * The switch on x86-64, System V.
 *
 * A stack that was left looks like this, from its saved stack pointer upwards:
 *
 *      sp -> r15  r14  r13  r12  rbx  rbp  return address
 *
 * Invariants
 *   1. Both sides of a switch have this one layout, so what the CFI says about the
 *      stack is as true after the change of rsp as before it: a debugger walks the
 *      running task and, from (sp, cp_ctx_resume_pc), any parked one.
 *   2. cp_ctx_start is the outermost frame: its return address is declared undefined
 *      and rbp is 0 in it, which ends both kinds of walk.
 *
 * Leaving by ret: tasks that wait at one kind of thing park through one call, so the return
 * predictor, which follows the calls of the task that parks, is right for the one
 * that goes on as far up as their callers are the same.
 *
 * cp_ctx_through_asm is for calls whose callers are not: the two ends of a channel. There the
 * predictor is wrong for certain, while an indirect jump is predicted by what happened
 * before. Jumping always would be wrong for many tasks of one kind, whose predictor it leaves one
 * entry off, and that for the returns of all their callers. So it compares where the last
 * one to park will go on with where this one does, and jumps only if the two differ.
 *
 * A new stack is begun, and what follows a task is come to, by jumps, so that the predictor's entry
 * for the call of the task that parked is still there when a task that ran to its end leaves
 * by ret: spawning one task and joining it mispredicts nothing.
 * Every switch returns 0, so that a call whose last act it is can jump to it.
 *
 * The object is marked for indirect branch tracking, and not for shadow stacks:
 * there the processor keeps a second stack of return addresses, which would have to
 * be switched too.
 */
	.macro	SAVE
	.irp	reg, rbp, rbx, r12, r13, r14, r15
	pushq	%\reg
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %\reg, 0
	.endr
	.endm

/* Where SAVE has put them. */
	.macro	SAVED
	.cfi_rel_offset %rbp, 40
	.cfi_rel_offset %rbx, 32
	.cfi_rel_offset %r12, 24
	.cfi_rel_offset %r13, 16
	.cfi_rel_offset %r14, 8
	.cfi_rel_offset %r15, 0
	.endm

	.macro	RESTORE
	.irp	reg, r15, r14, r13, r12, rbx, rbp
	popq	%\reg
	.cfi_adjust_cfa_offset -8
	.cfi_restore %\reg
	.endr
	xorl	%eax, %eax
	.endm

	.text

	.globl	cp_ctx_switch_asm
	.hidden	cp_ctx_switch_asm
	.type	cp_ctx_switch_asm, @function
	.p2align 5
/* int cp_ctx_switch_asm(void **save_sp, void *to_sp) */
cp_ctx_switch_asm:
	.cfi_startproc
	endbr64
	SAVE
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
.Lresume:
	RESTORE
	leaq	cp_ctx_start(%rip), %rcx
	cmpq	%rcx, (%rsp)
	je	.Lfresh
	ret
.Lfresh:
	addq	$8, %rsp
	jmp	cp_ctx_start
	.cfi_endproc
	.size	cp_ctx_switch_asm, . - cp_ctx_switch_asm

	.globl	cp_ctx_resume_asm
	.hidden	cp_ctx_resume_asm
	.type	cp_ctx_resume_asm, @function
	.p2align 5
/* The same for a stack that is not new. */
cp_ctx_resume_asm:
	.cfi_startproc
	endbr64
	SAVE
	movq	%rsp, (%rdi)
	movq	%rsi, %rsp
	RESTORE
	ret
	.cfi_endproc
	.size	cp_ctx_resume_asm, . - cp_ctx_resume_asm

	.globl	cp_ctx_return_asm
	.hidden	cp_ctx_return_asm
	.type	cp_ctx_return_asm, @function
	.p2align 5
/* Jumped to, not called, with the stack pointer of such a stack in rsi: nothing is saved. */
cp_ctx_return_asm:
	.cfi_startproc
	.cfi_undefined %rip
	movq	%rsi, %rsp
	.cfi_adjust_cfa_offset 48
	.cfi_offset %rip, -8
	SAVED
	RESTORE
	ret
	.cfi_endproc
	.size	cp_ctx_return_asm, . - cp_ctx_return_asm

	.globl	cp_ctx_begin_asm
	.hidden	cp_ctx_begin_asm
	.type	cp_ctx_begin_asm, @function
	.p2align 5
/* int cp_ctx_begin_asm(void **save_sp, void *top, int (*fn)(void *arg), void *arg,
 *                      void (*done)(void *top, int rc)) */
cp_ctx_begin_asm:
	.cfi_startproc
	endbr64
	SAVE
	movq	%rsp, (%rdi)
	.cfi_endproc
	.size	cp_ctx_begin_asm, . - cp_ctx_begin_asm

	.globl	cp_ctx_next_asm
	.hidden	cp_ctx_next_asm
	.type	cp_ctx_next_asm, @function
/* Gone on to, or jumped to, with the same arguments from the second on: what is on the stack is
 * no more. The outermost frame of a task. */
cp_ctx_next_asm:
	.cfi_startproc
	.cfi_undefined %rip
	movq	%rsi, %rsp
	movq	%rsi, %rbx
	movq	%r8, %r12
	movq	%rcx, %rdi
	xorl	%ebp, %ebp
	callq	*%rdx
	movq	%rbx, %rdi
	movl	%eax, %esi
	leaq	.Lnever(%rip), %rax
	pushq	%rax
	jmpq	*%r12
	.cfi_endproc
	.size	cp_ctx_next_asm, . - cp_ctx_next_asm

	.globl	cp_ctx_through_asm
	.hidden	cp_ctx_through_asm
	.type	cp_ctx_through_asm, @function
	.p2align 5
/* int cp_ctx_through_asm(a, b, c, d, e, int (*wait)(a, b, c, d, e)) */
cp_ctx_through_asm:
	.cfi_startproc
	endbr64
	movq	(%rsp), %rax
	movq	cp_ctx_parked@gottpoff(%rip), %r10
	movq	%rax, %fs:(%r10)
	subq	$8, %rsp
	.cfi_adjust_cfa_offset 8
	callq	*%r9
	movq	cp_ctx_parked@gottpoff(%rip), %r10
	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	movq	(%rsp), %rcx
	cmpq	%rcx, %fs:(%r10)
	jne	1f
	ret
1:	addq	$8, %rsp
	.cfi_adjust_cfa_offset -8
	.cfi_register %rip, %rcx
	notrack jmpq	*%rcx
	.cfi_endproc
	.size	cp_ctx_through_asm, . - cp_ctx_through_asm

	.globl	cp_ctx_leave_asm
	.hidden	cp_ctx_leave_asm
	.type	cp_ctx_leave_asm, @function
	.p2align 4
/* Jumped to, not called, with the stack pointer to go to in rsi: nothing is saved. */
cp_ctx_leave_asm:
	.cfi_startproc
	.cfi_undefined %rip
	movq	%rsi, %rsp
	jmp	.Lresume
	.cfi_endproc
	.size	cp_ctx_leave_asm, . - cp_ctx_leave_asm

	.globl	cp_ctx_start
	.hidden	cp_ctx_start
	.type	cp_ctx_start, @function
	.p2align 4
/* The first switch to a new stack comes here: r12 is the entry, r13 its argument, rbp 0. */
cp_ctx_start:
	.cfi_startproc
	.cfi_undefined %rip
	endbr64
	movq	%r13, %rdi
	leaq	.Lnever(%rip), %rax
	pushq	%rax
	jmpq	*%r12
.Lnever:
	ud2
	.cfi_endproc
	.size	cp_ctx_start, . - cp_ctx_start

/* Where a parked stack goes on. */
	.section .data.rel.ro, "aw", @progbits
	.globl	cp_ctx_resume_pc
	.hidden	cp_ctx_resume_pc
	.type	cp_ctx_resume_pc, @object
	.p2align 3
cp_ctx_resume_pc:
	.quad	.Lresume
	.size	cp_ctx_resume_pc, 8

/* GNU_PROPERTY_X86_FEATURE_1_AND: bit 0, indirect branch tracking. */
	.section .note.gnu.property, "a", @note
	.p2align 3
	.long	4, 16, 5
	.asciz	"GNU"
	.long	0xc0000002, 4, 1, 0

	.section .note.GNU-stack, "", @progbits
