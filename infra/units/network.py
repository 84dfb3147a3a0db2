"""The network of everything that reaches Kafka: an existing VPC, or a small public one for trials."""

from __future__ import annotations

from aws_cdk import aws_ec2 as ec2
from constructs import Construct

from infra import config, nag


class Network(Construct):
    """VPC, subnets and security groups of tasks, jobs and controllers that reach Kafka.

    Attributes:
        vpc, subnets, security_groups: As ECS, Batch and Lambda take them.
        public: Tasks need a public address to fetch their image, because there is neither NAT nor endpoint.
    """

    def __init__(self, scope: Construct, construct_id: str, *, network: config.Network) -> None:
        super().__init__(scope, construct_id)
        self.public = network.create
        self.vpc = _new(self) if network.create else _existing(self, network)
        self.subnets = ec2.SubnetSelection(subnets=self.vpc.public_subnets if self.public else self.vpc.private_subnets)
        self.security_groups = [
            ec2.SecurityGroup.from_security_group_id(self, f"Group{number}", group, mutable=False)
            for number, group in enumerate(network.security_group_ids)
        ] or [ec2.SecurityGroup(self, "Group", vpc=self.vpc, description="Millpond: reaches all, is reached by none")]


def _existing(scope: Construct, network: config.Network) -> ec2.IVpc:
    vpc = ec2.Vpc.from_vpc_attributes(
        scope,
        "Vpc",
        vpc_id=network.vpc_id,
        availability_zones=list(network.availability_zones),
        private_subnet_ids=list(network.private_subnet_ids),
    )
    nag.accept(vpc, "@aws-cdk/aws-ec2:noSubnetRouteTableId", "No route is ever added to somebody's network.")
    return vpc


def _new(scope: Construct) -> ec2.IVpc:
    """Two public subnets and no NAT: costs nothing while idle. S3 is reached by a gateway endpoint, because a Lambda
    has no public address even in a public subnet."""
    vpc = ec2.Vpc(
        scope,
        "Vpc",
        max_azs=2,
        nat_gateways=0,
        subnet_configuration=[ec2.SubnetConfiguration(name="public", subnet_type=ec2.SubnetType.PUBLIC)],
        restrict_default_security_group=False,
    )
    vpc.add_gateway_endpoint("S3", service=ec2.GatewayVpcEndpointAwsService.S3)
    nag.accept(
        vpc, "AwsSolutions-VPC7", "A network for trials; an existing one with its own flow logs serves real archives."
    )
    return vpc
