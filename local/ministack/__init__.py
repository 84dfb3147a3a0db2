"""Our adapter for MiniStack 1.5.33: what its own emulation leaves out, run as `python -m local.ministack`.

It adds local processes for Batch jobs and ECS tasks, the Batch resources of CloudFormation, Step Functions' integration
with Batch, and mends some gaps. It leans on MiniStack's private names (all reached through `emulator`): keep the pin.
Nothing is changed but inside the process started so.
"""
