"""The kinds of resources that Millpond's stacks are made of, in one small stack for test_local_cdk.py."""

import os
from pathlib import Path

import aws_cdk as cdk
from aws_cdk import aws_batch as batch
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_ecr_assets as assets
from aws_cdk import aws_ecs as ecs
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_secretsmanager as secrets
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks

HERE = Path(__file__).parent
SERVICE = ["python", "-c", "import time; print('backup is up'); time.sleep(60)"]
JOB = "import os; print(len(os.environ['PEPPER']), os.environ['AWS_BATCH_JOB_ARRAY_INDEX'], os.environ['PLAN'])"

app = cdk.App()
environment = cdk.Environment(account=os.environ["CDK_DEFAULT_ACCOUNT"], region=os.environ["CDK_DEFAULT_REGION"])
stack = cdk.Stack(app, "Local", env=environment)

key = kms.Key(stack, "Key", enable_key_rotation=True)
bucket = s3.Bucket(
    stack,
    "Archive",
    versioned=True,
    encryption=s3.BucketEncryption.KMS,
    encryption_key=key,
    bucket_key_enabled=True,
    enforce_ssl=True,
    block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
    lifecycle_rules=[s3.LifecycleRule(abort_incomplete_multipart_upload_after=cdk.Duration.days(1))],
)
generated = secrets.SecretStringGenerator(password_length=43, exclude_punctuation=True)
pepper = secrets.Secret(stack, "Pepper", encryption_key=key, generate_secret_string=generated)

plan = lambda_.Function(
    stack,
    "Plan",
    runtime=lambda_.Runtime.PYTHON_3_13,
    handler="functions.plan.handler.handler",
    code=lambda_.Code.from_asset(str(HERE / "package")),
    timeout=cdk.Duration.seconds(30),
    environment={"SECRET": pepper.secret_arn, "BUCKET": bucket.bucket_name},
)
pepper.grant_read(plan)
bucket.grant_read_write(plan)
every_minute = scheduler.ScheduleExpression.rate(cdk.Duration.minutes(1))
scheduler.Schedule(stack, "Nightly", schedule=every_minute, target=targets.LambdaInvoke(plan))

isolated = ec2.SubnetConfiguration(name="isolated", subnet_type=ec2.SubnetType.PRIVATE_ISOLATED)
vpc = ec2.Vpc(stack, "Vpc", max_azs=2, nat_gateways=0, subnet_configuration=[isolated])
asset = assets.DockerImageAsset(stack, "Image", directory=str(HERE / "image"), platform=assets.Platform.LINUX_AMD64)
image = ecs.ContainerImage.from_docker_image_asset(asset)
group = logs.LogGroup(stack, "Logs")

task = ecs.FargateTaskDefinition(stack, "Task", cpu=256, memory_limit_mib=512)
task.add_container(
    "app",
    image=image,
    command=SERVICE,
    stop_timeout=cdk.Duration.seconds(60),
    logging=ecs.LogDriver.aws_logs(stream_prefix="backup", log_group=group),
)
cluster = ecs.Cluster(stack, "Cluster", vpc=vpc)
service = ecs.FargateService(
    stack,
    "Service",
    cluster=cluster,
    task_definition=task,
    desired_count=1,
    min_healthy_percent=0,
    circuit_breaker=ecs.DeploymentCircuitBreaker(rollback=True),
)

compute = batch.FargateComputeEnvironment(stack, "Compute", vpc=vpc, maxv_cpus=16)
place = batch.OrderedComputeEnvironment(compute_environment=compute, order=1)
queue = batch.JobQueue(stack, "Queue", compute_environments=[place])
definition = batch.EcsJobDefinition(
    stack,
    "Restore",
    timeout=cdk.Duration.minutes(5),
    retry_attempts=3,
    retry_strategies=[
        batch.RetryStrategy.of(batch.Action.RETRY, batch.Reason.custom(on_exit_code="75")),
        batch.RetryStrategy.of(batch.Action.EXIT, batch.Reason.custom(on_exit_code="*")),
    ],
    container=batch.EcsFargateContainerDefinition(
        stack,
        "Container",
        image=image,
        cpu=1,
        memory=cdk.Size.mebibytes(2048),
        command=["python", "-c", JOB],
        logging=ecs.LogDriver.aws_logs(stream_prefix="restore", log_group=group),
        secrets={"PEPPER": batch.Secret.from_secrets_manager(pepper)},
    ),
)

make_plan = tasks.LambdaInvoke(stack, "MakePlan", lambda_function=plan, payload_response_only=True)
run = tasks.BatchSubmitJob(
    stack,
    "Run",
    job_name="restore",
    job_queue_arn=queue.job_queue_arn,
    job_definition_arn=definition.job_definition_arn,
    array_size=sfn.JsonPath.number_at("$.size"),
    container_overrides=tasks.BatchContainerOverrides(environment={"PLAN": sfn.JsonPath.string_at("$.plan")}),
)
chain = sfn.DefinitionBody.from_chainable(make_plan.next(run))
machine = sfn.StateMachine(stack, "Machine", timeout=cdk.Duration.hours(1), definition_body=chain)

outputs = {
    "BucketName": bucket.bucket_name,
    "MachineArn": machine.state_machine_arn,
    "ClusterName": cluster.cluster_name,
    "ServiceName": service.service_name,
    "LogGroupName": group.log_group_name,
    "JobDefinitionArn": definition.job_definition_arn,
}
for name, value in outputs.items():
    cdk.CfnOutput(stack, name, value=value)
app.synth()
